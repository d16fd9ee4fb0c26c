import type { NodeIdentity } from '@holdfast/api'
import type { RequestListener } from 'node:http'

/** Serves `/` as a page that says what this is, and everything else by the gateway. */
export function withHomePage (gateway: RequestListener, describe: () => NodeIdentity): RequestListener {
  return (request, response) => {
    if (request.url !== '/' || (request.method !== 'GET' && request.method !== 'HEAD')) return gateway(request, response)
    const body = Buffer.from(homePage(describe()))
    response.writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      'content-length': body.byteLength,
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
      'x-content-type-options': 'nosniff'
    })
    response.end(request.method === 'HEAD' ? undefined : body)
  }
}

/** "hello world" in an identity CID: it carries its bytes, so every node can show it. */
const EXAMPLE = '/ipfs/bafkqac3imvwgy3zao5xxe3de'

function homePage ({ peerId, agent }: NodeIdentity): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Holdfast</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere }
</style>
<h1>Holdfast</h1>
<p>This is the gateway of an IPFS node. It serves content by its CID at <code>/ipfs/&lt;cid&gt;/path</code>,
for example <a href="${EXAMPLE}">two words that lie in their CID</a>.</p>
<p>Add something with <code>npx holdfast add FILE</code> and open <code>/ipfs/</code> with the CID that it prints.</p>
<p>${agent}, peer <code>${peerId}</code></p>
</html>
`
}
