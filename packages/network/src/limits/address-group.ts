import { BlockList, isIP, isIPv4 } from 'node:net'

/** Addresses that one stranger is likely to own together. */
export interface AddressGroup {
  /** `192.0.2.0/24` or `2001:db8:1::/48`. */
  readonly name: string
  readonly kind: 'public' | 'private' | 'loopback'
}

/**
 * The group of an IP address: its /24 of IPv4 or its /48 of IPv6. An IPv4 address inside of an IPv6 one counts as IPv4.
 *
 * @returns `undefined` for a text that is no IP address
 */
export function addressGroup (ip: string): AddressGroup | undefined {
  const text = ip.split('%', 1)[0] ?? ''
  if (isIPv4(text)) return groupOfV4(text.split('.').map(Number))
  if (isIP(text) === 0) return undefined
  const words = wordsOf(text)
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) return groupOfV4(octetsOf(words))
  const name = `${words.slice(0, 3).map((word) => word.toString(16)).join(':')}::/48`
  return { name, kind: loopback.check(text, 'ipv6') ? 'loopback' : privates.check(text, 'ipv6') ? 'private' : 'public' }
}

function groupOfV4 (octets: readonly number[]): AddressGroup {
  const ip = octets.join('.')
  const name = `${octets.slice(0, 3).join('.')}.0/24`
  return { name, kind: loopback.check(ip, 'ipv4') ? 'loopback' : privates.check(ip, 'ipv4') ? 'private' : 'public' }
}

/** The eight words of an IPv6 address that `isIP` took for one. */
function wordsOf (ip: string): number[] {
  const [head = '', tail] = ip.split('::')
  const front = wordsOfPart(head)
  const back = wordsOfPart(tail ?? '')
  return [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back]
}

function wordsOfPart (part: string): number[] {
  if (part === '') return []
  return part.split(':').flatMap((word) => {
    if (!word.includes('.')) return [Number.parseInt(word, 16)]
    const [a = 0, b = 0, c = 0, d = 0] = word.split('.').map(Number)
    return [a << 8 | b, c << 8 | d]
  })
}

function octetsOf (words: readonly number[]): number[] {
  return words.slice(6).flatMap((word) => [word >> 8, word & 0xff])
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** RFC 1918, RFC 6598 (carriers), RFC 3927 and 4291 (this link), RFC 4193. */
const privates = new BlockList()
privates.addSubnet('10.0.0.0', 8, 'ipv4')
privates.addSubnet('172.16.0.0', 12, 'ipv4')
privates.addSubnet('192.168.0.0', 16, 'ipv4')
privates.addSubnet('100.64.0.0', 10, 'ipv4')
privates.addSubnet('169.254.0.0', 16, 'ipv4')
privates.addSubnet('fe80::', 10, 'ipv6')
privates.addSubnet('fc00::', 7, 'ipv6')
