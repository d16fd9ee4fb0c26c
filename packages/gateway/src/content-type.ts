import mime from 'mime'

/**
 * Returns the media type that a file name promises, or `undefined`.
 *
 * Text is said to be UTF-8, as Kubo does; HTML is not, since pages state their own encoding (kubo#2203).
 */
export function contentTypeOfName (name: string): string | undefined {
  // The slash keeps `mime` from taking a name without a dot, "zip", for an extension.
  const type = mime.getType(`/${name.slice(name.lastIndexOf('/') + 1)}`)
  if (type === null) return undefined
  return type.startsWith('text/') && type !== 'text/html' ? `${type}; charset=utf-8` : type
}
