import { parse, stringify } from 'lossless-json'

/** Reads JSON text; integers that a number cannot hold become BigInt, so that no digit of an argument is lost. */
export function parseJson(text: string): unknown {
  return parse(text, undefined, (digits) => {
    const number = Number(digits)
    return /^-?\d+$/.test(digits) && !Number.isSafeInteger(number) ? BigInt(digits) : number
  })
}

/** Writes JSON text, BigInt included. */
export function writeJson(value: unknown): string {
  return stringify(value) ?? 'null'
}
