export { type CompactOptions, type Journal, type JournalOptions, MAX_LOG_BYTES, openJournal } from './journal/journal.ts'
export { type JournalFile, type JournalFs } from './journal/journal-fs.ts'
export { type JournalRecord, MAX_BATCH_RECORDS, MAX_RECORD_BYTES } from './journal/record.ts'
