export { fixturePath } from './fixtures.ts'
