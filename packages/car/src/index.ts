export { encodeCarHeader, MAX_CAR_HEADER_BYTES, MAX_CAR_ROOTS } from './car-header.ts'
export { type CarReader, MAX_CAR_SECTION_BYTES, readCar } from './read-car.ts'
export { gatherParts } from './gather-parts.ts'
export { encodeCarSection, encodeSectionHead, writeCar } from './write-car.ts'
