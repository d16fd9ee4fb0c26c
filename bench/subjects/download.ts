/** Downloads a URL once and counts; prints the seconds. */
import { request } from 'node:http'

const [url = ''] = process.argv.slice(2)
const startedMs = performance.now()
let byteLength = 0
await new Promise<void>((resolve, reject) => {
  request(url, (response) => {
    response.on('data', (piece: Buffer) => { byteLength += piece.byteLength })
    response.on('end', resolve)
    response.on('error', reject)
  }).on('error', reject).end()
})
console.log(JSON.stringify({ seconds: (performance.now() - startedMs) / 1000, byteLength }))
