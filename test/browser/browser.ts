import type { TestContext } from 'node:test'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { findProgram, skipLoudly } from '../programs.ts'

/** The browser speaks to the gateway and to nobody else. */
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** How long the browser may wait for anything, in milliseconds. */
const WAIT_MS = 15_000

const executablePath = findProgram('chromium', 'chromium')

/** Why there are no pages to look at here; `false` when there are. */
export const SKIP: string | false = executablePath === undefined && skipLoudly('pages in a browser', 'There is no chromium, and it could not be installed')

/** Width of a small phone, in CSS pixels. */
export const PHONE = { viewport: { width: 360, height: 720 } } as const

/** What went wrong in a page by itself. */
export interface Watched {
  readonly page: Page
  /** Dialogs, errors of scripts, refused loads and messages on the console so far. */
  readonly noises: readonly string[]
}

/** Starts a browser with an empty profile of its own; it ends with the test. */
export async function openBrowser (context: TestContext): Promise<Browser> {
  const browser = await chromium.launch({ executablePath, args: FLAGS })
  context.after(async () => { await browser.close() })
  return browser
}

/** Opens an empty page that belongs to nobody. */
export async function newPage (browser: Browser, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(WAIT_MS)
  const page = await context.newPage()
  const noises: string[] = []
  page.on('dialog', (dialog) => {
    noises.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on('pageerror', (err) => { noises.push(`error: ${err.message}`) })
  page.on('console', (message) => {
    // Browsers look for an icon beside pages that name none, such as a text.
    if (!message.location().url.endsWith('/favicon.ico')) noises.push(`console: ${message.text()}`)
  })
  return { page, noises }
}
