/** Bare node:http: `PATH` is answered from memory when it is small, else streamed from the file. Prints its port. */
import { createReadStream, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:http'

const [path = ''] = process.argv.slice(2)
const { size } = statSync(path)
const small = size <= 1 << 20 ? readFileSync(path) : undefined
const server = createServer({ highWaterMark: 256 * 1024 }, (_request, response) => {
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': size })
  if (small !== undefined) response.end(small)
  else createReadStream(path, { highWaterMark: 1 << 20 }).pipe(response)
})
server.listen(0, '127.0.0.1', () => { console.log(JSON.stringify(server.address())) })
