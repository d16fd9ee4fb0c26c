export { type Identity, type IdentityOptions, openIdentity, type PrivateKey } from './identity.ts'
