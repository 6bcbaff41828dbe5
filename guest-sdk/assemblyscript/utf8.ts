/** A client's bytes as a string. */

/**
 * The `len` bytes from `start` on, decoded as UTF-8. Each byte that is no part of a well-formed character
 * becomes U+FFFD, so that no two inputs of which one is malformed look the same as its well-formed part.
 *
 * The standard library's `String.UTF8.decode` trusts its input: it drops a cut-off character at the end and
 * takes any byte for a continuation.
 */
export function decode(start: usize, len: usize): string {
  const end = start + len;
  // A byte is at most one UTF-16 unit, and one of four bytes is two.
  const units = heap.alloc(max<usize>(len << 1, 1));
  let to = units;
  while (start < end) {
    const size = wellFormed(start, end);
    let code: u32 = load<u8>(start);
    if (size == 0) {
      code = 0xfffd;
    } else if (size > 1) {
      code &= 0x7f >> <u32>size;
      for (let i: usize = 1; i < size; i++) code = (code << 6) | (load<u8>(start + i) & 0x3f);
    }
    if (code > 0xffff) {
      code -= 0x10000;
      store<u16>(to, 0xd800 | (code >> 10));
      to += 2;
      code = 0xdc00 | (code & 0x3ff);
    }
    store<u16>(to, code);
    to += 2;
    start += max<usize>(size, 1);
  }
  const text = String.UTF16.decodeUnsafe(units, to - units);
  heap.free(units);
  return text;
}

/** `bytes`, decoded as UTF-8; a byte that is no part of a well-formed character becomes U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  return decode(bytes.dataStart, bytes.length);
}

/** How many bytes the character at `start` has, or 0 if it is none (the Unicode standard's table 3-7). */
function wellFormed(start: usize, end: usize): usize {
  const first = load<u8>(start);
  if (first < 0x80) return 1;
  const size: usize = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size == 0 || start + size > end) return 0;
  for (let i: usize = 1; i < size; i++) {
    if ((load<u8>(start + i) & 0xc0) != 0x80) return 0;
  }
  const second = load<u8>(start + 1);
  if (first == 0xe0 && second < 0xa0) return 0;
  if (first == 0xed && second > 0x9f) return 0;
  if (first == 0xf0 && second < 0x90) return 0;
  if (first == 0xf4 && second > 0x8f) return 0;
  return size;
}
