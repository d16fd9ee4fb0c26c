/** Loads a URL with 64 keep-alive connections for some seconds; prints requests per second and failures. */
import autocannon from 'autocannon'

const [url = '', seconds = '5'] = process.argv.slice(2)
const result = await autocannon({ url, connections: 64, duration: Number(seconds) })
console.log(JSON.stringify({ rate: result.requests.average, failures: result.errors + result.non2xx }))
