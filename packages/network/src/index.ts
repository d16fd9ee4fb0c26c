export { type Identity, type IdentityOptions, openIdentity, PrivateKey } from './identity.ts'
