export { decodeUnixFs, encodeUnixFs, type UnixFsData, type UnixFsTime, type UnixFsType } from './unixfs.ts'
