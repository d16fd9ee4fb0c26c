export { type CarReader, MAX_CAR_HEADER_BYTES, MAX_CAR_ROOTS, MAX_CAR_SECTION_BYTES, readCar } from './car-reader.ts'
export { encodeCarHeader, encodeCarSection, writeCar } from './car-writer.ts'
