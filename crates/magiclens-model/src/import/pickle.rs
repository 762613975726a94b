//! Python pickles (protocols 0 to 5) as lists of instructions. Nothing is ever imported, constructed or called.

use bytes::Bytes;

use super::error::{MAX_INSTRUCTIONS, PickleError};

/// One instruction; the argument is without the length or line feed that delimits it.
struct Instruction<'a> {
    opcode: u8,
    argument: &'a [u8],
}

/// A cursor over the instructions of a pickle.
struct Instructions<'a> {
    input: &'a [u8],
    position: usize,
    /// Offset of the latest instruction.
    at: usize,
    count: usize,
}

impl<'a> Instructions<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            position: 0,
            at: 0,
            count: 0,
        }
    }

    fn next(&mut self) -> Result<Instruction<'a>, PickleError> {
        self.at = self.position;
        self.count += 1;
        if self.count > MAX_INSTRUCTIONS {
            return Err(PickleError::TooComplex);
        }
        let opcode = self.take(1)?[0];
        let argument = match opcode {
            b'K' | b'h' | b'q' | 0x80 | 0x82 => self.take(1),
            b'M' | 0x83 => self.take(2),
            b'J' | b'j' | b'r' | 0x84 => self.take(4),
            b'G' | 0x95 => self.take(8),
            b'U' | b'C' | 0x8A | 0x8C => self.counted(1),
            b'T' | b'X' | b'B' | 0x8B => self.counted(4),
            0x8D | 0x8E | 0x96 => self.counted(8),
            b'I' | b'L' | b'F' | b'V' | b'S' | b'g' | b'p' | b'P' => self.lines(1),
            b'c' | b'i' => self.lines(2),
            _ => Ok(&[][..]),
        }?;
        Ok(Instruction { opcode, argument })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PickleError> {
        let end = self.position.checked_add(length);
        let taken = end.and_then(|end| self.input.get(self.position..end));
        let taken = taken.ok_or(PickleError::Truncated { at: self.at })?;
        self.position += length;
        Ok(taken)
    }

    /// Bytes behind their length, which is a little-endian number of `width` bytes.
    fn counted(&mut self, width: usize) -> Result<&'a [u8], PickleError> {
        let mut length = [0; 8];
        length[..width].copy_from_slice(self.take(width)?);
        self.take(usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX))
    }

    fn lines(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let rest = &self.input[self.position..];
        let mut ends = (0..rest.len()).filter(|&at| rest[at] == b'\n');
        let end = ends.nth(count - 1).ok_or(PickleError::Truncated { at: self.at })?;
        self.position += end + 1;
        Ok(&rest[..end])
    }
}

/// Length in bytes of the pickle at the start of `input`.
///
/// # Errors
/// A pickle that is cut off, or has more instructions than a checkpoint needs.
pub(super) fn length(input: &[u8]) -> Result<usize, PickleError> {
    let mut instructions = Instructions::new(input);
    while instructions.next()?.opcode != b'.' {}
    Ok(instructions.position)
}

/// An object on the stack of [`pickled_bytes`].
#[derive(PartialEq)]
enum Object {
    /// `_codecs.encode`, by which protocols 0 to 2 write `bytes` as text.
    Encode,
    /// `str`, in Latin-1.
    Text(Vec<u8>),
    Bytes(Bytes),
}

/// The one `bytes` object of a pickle; part of `file` unless an old protocol wrote it as text.
///
/// # Errors
/// A pickle of anything else, or one that is cut off.
pub fn pickled_bytes(file: &Bytes) -> Result<Bytes, PickleError> {
    let mut instructions = Instructions::new(file);
    let mut stack = Vec::new();
    loop {
        let Instruction { opcode, argument } = instructions.next()?;
        let at = instructions.at;
        let not_bytes = || PickleError::NotBytes { at };
        match opcode {
            b'B' | b'C' | 0x8E | 0x96 => stack.push(Object::Bytes(file.slice_ref(argument))),
            b'X' => stack.push(Object::Text(latin1(argument).ok_or_else(not_bytes)?)),
            b'V' => stack.push(Object::Text(unescaped(argument).ok_or_else(not_bytes)?)),
            b'c' if argument == b"_codecs\nencode" => stack.push(Object::Encode),
            b'c' | b'i' => return Err(refused(argument, at)),
            b'R' => match <[Object; 3]>::try_from(std::mem::take(&mut stack)) {
                Ok([Object::Encode, Object::Text(text), Object::Text(name)]) if name == b"latin1" => {
                    stack.push(Object::Bytes(text.into()));
                }
                _ => return Err(not_bytes()),
            },
            // Protocol, frame, marks, tuples, and a memo that nothing reads.
            0x80 | 0x95 | b'(' | b't' | 0x86 | b'p' | b'q' | b'r' | 0x94 => {}
            b'.' => match <[Object; 1]>::try_from(stack) {
                Ok([Object::Bytes(bytes)]) => return Ok(bytes),
                _ => return Err(not_bytes()),
            },
            _ => return Err(not_bytes()),
        }
    }
}

fn refused(global: &[u8], at: usize) -> PickleError {
    const SHOWN: usize = 100;
    let name = String::from_utf8_lossy(global).replace('\n', ".");
    let name = name.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    PickleError::Refused { name, at }
}

/// UTF-8 to Latin-1.
fn latin1(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    text.chars().map(|character| u8::try_from(character).ok()).collect()
}

/// Latin-1 with `\uXXXX` escapes to Latin-1.
fn unescaped(line: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if (byte, rest.first()) == (b'\\', Some(&b'u')) {
            let digits = std::str::from_utf8(rest.get(1..5)?).ok()?;
            text.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[5..];
        } else {
            text.push(byte);
        }
    }
    Some(text)
}
