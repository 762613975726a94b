//! Reads Python pickles (protocols 0 to 5) as data. Nothing is ever imported, constructed or called.
//!
//! The few globals that checkpoints need are kept as names; any other ends the reading. Objects live in one flat list
//! and refer to each other by index, so that neither nesting nor shared references cost stack or memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

/// More instructions than any checkpoint has; bounds the memory a hostile file can take.
const MAX_INSTRUCTIONS: usize = 1 << 20;

/// Why some bytes are not a pickle that we read. `at` is the offset of the instruction in bytes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PickleError {
    /// The pickle names something outside of the short list of what a checkpoint needs.
    #[error("refuses to call `{name}` (byte {at}): a checkpoint is only read, never executed")]
    Refused {
        /// Module and name, or what else was asked for.
        name: String,
        /// Offset in bytes.
        at: usize,
    },
    /// The bytes end inside an instruction, or without the final one.
    #[error("the pickle is cut off at byte {at}")]
    Truncated {
        /// Offset in bytes.
        at: usize,
    },
    /// No such instruction.
    #[error("byte {at} is 0x{opcode:02x}, which is no pickle instruction")]
    UnknownOpcode {
        /// The byte found.
        opcode: u8,
        /// Offset in bytes.
        at: usize,
    },
    /// The instructions make no sense.
    #[error("the pickle is damaged at byte {at}: {problem}")]
    Malformed {
        /// What is wrong.
        problem: &'static str,
        /// Offset in bytes.
        at: usize,
    },
    /// More instructions than a checkpoint can need.
    #[error("the pickle has more than {MAX_INSTRUCTIONS} instructions, more than a checkpoint needs")]
    TooComplex,
    /// The pickle is fine, but holds something else.
    #[error("the pickle holds {found}, expected {expected}")]
    Unexpected {
        /// What was expected.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
}

/// Index of a [`Node`] in its [`Pickle`].
pub type NodeId = u32;

/// One object of a pickle; parts are indices.
#[derive(Debug, Clone, PartialEq)]
pub enum Node<'a> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A longer integer: little-endian two's complement.
    Long(&'a [u8]),
    /// A float.
    Float(f64),
    /// `bytes` or `bytearray`, as they lie in the input.
    Bytes(&'a [u8]),
    /// `bytes` written as text, one character a byte (protocols 0 to 2).
    EncodedBytes(NodeId),
    /// `str`.
    Text(Cow<'a, str>),
    /// `tuple`.
    Tuple(Vec<NodeId>),
    /// `list`, `set` or `frozenset`.
    List(Vec<NodeId>),
    /// `dict` or `OrderedDict`: keys and values in order.
    Dict(Vec<(NodeId, NodeId)>),
    /// One of [`Global`], not called.
    Global(Global),
    /// A torch tensor: the arguments of `_rebuild_tensor_v2`.
    Tensor(Vec<NodeId>),
    /// What a persistent id refers to, such as a torch storage.
    Persistent(NodeId),
}

/// The names that a pickle may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    /// `_codecs.encode`, which protocols 0 to 2 write for `bytes`.
    Encode,
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`.
    RebuildTensor,
    /// A torch storage class, such as `FloatStorage`.
    Storage(&'static str),
}

const STORAGES: [&str; 10] = [
    "FloatStorage",
    "DoubleStorage",
    "HalfStorage",
    "BFloat16Storage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
];

impl Global {
    fn find(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("_codecs", "encode") => Some(Self::Encode),
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch", _) => STORAGES.into_iter().find(|&storage| storage == name).map(Self::Storage),
            _ => None,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Encode => "_codecs.encode".to_owned(),
            Self::OrderedDict => "collections.OrderedDict".to_owned(),
            Self::RebuildTensor => "torch._utils._rebuild_tensor_v2".to_owned(),
            Self::Storage(class) => format!("torch.{class}"),
        }
    }
}

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: NodeId,
    /// How many bytes it took; more may follow.
    pub length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of `input`.
    pub fn read(input: &'a [u8]) -> Result<Self, PickleError> {
        Machine::new(input).run()
    }

    /// The outermost object.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// All objects of this pickle, also such as nothing refers to.
    pub fn nodes(&self) -> impl Iterator<Item = &Node<'a>> {
        self.nodes.iter()
    }

    /// An object of this pickle.
    pub fn node(&self, id: NodeId) -> &Node<'a> {
        &self.nodes[id as usize]
    }

    /// The content of a `bytes` object.
    pub fn bytes(&self, id: NodeId) -> Result<Cow<'a, [u8]>, PickleError> {
        match self.node(id) {
            Node::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Node::EncodedBytes(text) => {
                let bytes = self
                    .text(*text)?
                    .chars()
                    .map(|character| u8::try_from(u32::from(character)));
                let bytes: Result<Vec<u8>, _> = bytes.collect();
                bytes
                    .map(Cow::Owned)
                    .map_err(|_| self.unexpected(*text, "text of characters below 256"))
            }
            _ => Err(self.unexpected(id, "bytes")),
        }
    }

    /// The content of a `str` object.
    pub fn text(&self, id: NodeId) -> Result<&str, PickleError> {
        match self.node(id) {
            Node::Text(text) => Ok(text),
            _ => Err(self.unexpected(id, "text")),
        }
    }

    /// A whole number from zero up.
    pub fn size(&self, id: NodeId) -> Result<usize, PickleError> {
        match *self.node(id) {
            Node::Int(value) => usize::try_from(value).map_err(|_| self.unexpected(id, "a size")),
            _ => Err(self.unexpected(id, "a size")),
        }
    }

    /// The parts of a tuple.
    pub fn tuple(&self, id: NodeId) -> Result<&[NodeId], PickleError> {
        match self.node(id) {
            Node::Tuple(parts) => Ok(parts),
            _ => Err(self.unexpected(id, "a tuple")),
        }
    }

    /// The parts of a list.
    pub fn list(&self, id: NodeId) -> Result<&[NodeId], PickleError> {
        match self.node(id) {
            Node::List(parts) => Ok(parts),
            _ => Err(self.unexpected(id, "a list")),
        }
    }

    /// The entries of a dictionary.
    pub fn dict(&self, id: NodeId) -> Result<&[(NodeId, NodeId)], PickleError> {
        match self.node(id) {
            Node::Dict(entries) => Ok(entries),
            _ => Err(self.unexpected(id, "a dictionary")),
        }
    }

    /// The error for an object of the wrong kind.
    pub fn unexpected(&self, id: NodeId, expected: &'static str) -> PickleError {
        let found = match self.node(id) {
            Node::None => "None",
            Node::Bool(_) => "a truth value",
            Node::Int(_) | Node::Long(_) => "an integer",
            Node::Float(_) => "a float",
            Node::Bytes(_) | Node::EncodedBytes(_) => "bytes",
            Node::Text(_) => "text",
            Node::Tuple(_) => "a tuple",
            Node::List(_) => "a list",
            Node::Dict(_) => "a dictionary",
            Node::Global(_) => "a class or function",
            Node::Tensor(_) => "a torch tensor",
            Node::Persistent(_) => "a reference to outside",
        };
        PickleError::Unexpected { expected, found }
    }
}

/// The pickle virtual machine, without its means to execute anything.
struct Machine<'a> {
    input: &'a [u8],
    position: usize,
    /// Offset of the instruction in work, for messages.
    at: usize,
    nodes: Vec<Node<'a>>,
    stack: Vec<NodeId>,
    marks: Vec<usize>,
    memo: HashMap<u64, NodeId>,
}

impl<'a> Machine<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            position: 0,
            at: 0,
            nodes: vec![],
            stack: vec![],
            marks: vec![],
            memo: HashMap::new(),
        }
    }

    fn run(mut self) -> Result<Pickle<'a>, PickleError> {
        for _ in 0..MAX_INSTRUCTIONS {
            self.at = self.position;
            let opcode = self.byte()?;
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok(Pickle {
                    nodes: self.nodes,
                    root,
                    length: self.position,
                });
            }
            self.step(opcode)?;
        }
        Err(PickleError::TooComplex)
    }

    fn step(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            0x80 => self.protocol(),
            0x95 => self.frame(),
            // Stack and memo.
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop_or_unmark(),
            b'1' => self.pop_to_mark().map(drop),
            b'2' => self.top().map(|top| self.stack.push(top)),
            b'p' => self.decimal_index().and_then(|key| self.put(key)),
            b'q' => self.byte().and_then(|key| self.put(key.into())),
            b'r' => self.u32().and_then(|key| self.put(key.into())),
            0x94 => self.put(self.memo.len() as u64),
            b'g' => self.decimal_index().and_then(|key| self.get(key)),
            b'h' => self.byte().and_then(|key| self.get(key.into())),
            b'j' => self.u32().and_then(|key| self.get(key.into())),
            // Constants and numbers.
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'I' => self.decimal_int(),
            b'L' => self.decimal_long(),
            b'J' => self
                .u32()
                .and_then(|value| self.push(Node::Int(i64::from(value as i32)))),
            b'K' => self.byte().and_then(|value| self.push(Node::Int(value.into()))),
            b'M' => self.u16().and_then(|value| self.push(Node::Int(value.into()))),
            0x8a => self.byte().and_then(|length| self.long(length.into())),
            0x8b => self.u32().and_then(|length| self.long(length.into())),
            b'F' => self.decimal_float(),
            b'G' => self
                .array()
                .and_then(|bytes| self.push(Node::Float(f64::from_be_bytes(bytes)))),
            // Bytes and text.
            b'C' => self.byte().and_then(|length| self.push_bytes(length.into())),
            b'B' => self.u32().and_then(|length| self.push_bytes(length.into())),
            0x8e | 0x96 => self.u64().and_then(|length| self.push_bytes(length)),
            0x8c | b'U' => self.byte().and_then(|length| self.push_text(length.into())),
            b'X' | b'T' => self.u32().and_then(|length| self.push_text(length.into())),
            0x8d => self.u64().and_then(|length| self.push_text(length)),
            b'V' => self.escaped_text(),
            b'S' => self.quoted_text(),
            // Containers.
            b')' => self.push(Node::Tuple(vec![])),
            0x85 => self.tuple_of(1),
            0x86 => self.tuple_of(2),
            0x87 => self.tuple_of(3),
            b't' => self.pop_to_mark().and_then(|parts| self.push(Node::Tuple(parts))),
            b']' | 0x8f => self.push(Node::List(vec![])),
            b'l' | 0x91 => self.pop_to_mark().and_then(|parts| self.push(Node::List(parts))),
            b'a' => self.pop().and_then(|part| self.extend_list(vec![part])),
            b'e' | 0x90 => self.pop_to_mark().and_then(|parts| self.extend_list(parts)),
            b'}' => self.push(Node::Dict(vec![])),
            b'd' => {
                let parts = self.pop_to_mark()?;
                self.push(Node::Dict(vec![]))?;
                self.extend_dict(&parts)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(&[key, value])
            }
            b'u' => self.pop_to_mark().and_then(|parts| self.extend_dict(&parts)),
            // Everything that could run code.
            b'c' => self.global(),
            0x93 => self.stack_global(),
            b'R' => self.reduce(),
            b'b' => self.build(),
            b'i' => self.refuse_instance(),
            b'o' | 0x81 | 0x92 => self.refuse_object(),
            0x82..=0x84 => self.refuse("a registered extension"),
            0x97 | 0x98 => self.refuse("an out-of-band buffer"),
            b'P' => {
                let id = self.line_text()?;
                self.push(Node::Text(id))?;
                self.persistent()
            }
            b'Q' => self.persistent(),
            opcode => Err(PickleError::UnknownOpcode { opcode, at: self.at }),
        }
    }

    // Input.

    fn take(&mut self, length: u64) -> Result<&'a [u8], PickleError> {
        let truncated = PickleError::Truncated { at: self.at };
        let length = usize::try_from(length).map_err(|_| truncated.clone())?;
        let range: Range<usize> = self.position..self.position.checked_add(length).ok_or(truncated.clone())?;
        let taken = self.input.get(range.clone()).ok_or(truncated)?;
        self.position = range.end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        self.take(N as u64)
            .map(|bytes| bytes.try_into().expect("`take` gives what is asked"))
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, PickleError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, PickleError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, PickleError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Up to the next line feed, which is consumed.
    fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let length = self.input[self.position..].iter().position(|&byte| byte == b'\n');
        let line = self.take(length.ok_or(PickleError::Truncated { at: self.at })? as u64)?;
        self.position += 1;
        Ok(line)
    }

    fn line_text(&mut self) -> Result<Cow<'a, str>, PickleError> {
        let line = self.line()?;
        std::str::from_utf8(line)
            .map(Cow::Borrowed)
            .map_err(|_| self.malformed("a line is not UTF-8"))
    }

    fn malformed(&self, problem: &'static str) -> PickleError {
        PickleError::Malformed { problem, at: self.at }
    }

    fn protocol(&mut self) -> Result<(), PickleError> {
        const NEWEST: u8 = 5;
        if self.byte()? <= NEWEST {
            Ok(())
        } else {
            Err(self.malformed("its protocol is newer than 5"))
        }
    }

    fn frame(&mut self) -> Result<(), PickleError> {
        let length = self.u64()?;
        if (self.input.len() - self.position) as u64 >= length {
            Ok(())
        } else {
            Err(PickleError::Truncated { at: self.at })
        }
    }

    // Stack and memo.

    fn push(&mut self, node: Node<'a>) -> Result<(), PickleError> {
        let id = NodeId::try_from(self.nodes.len()).map_err(|_| PickleError::TooComplex)?;
        self.nodes.push(node);
        self.stack.push(id);
        Ok(())
    }

    /// The topmost object above the last mark.
    fn top(&self) -> Result<NodeId, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack
            .get(floor..)
            .and_then(<[_]>::last)
            .copied()
            .ok_or(self.malformed("its stack is empty"))
    }

    fn pop(&mut self) -> Result<NodeId, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_or_unmark(&mut self) -> Result<(), PickleError> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<NodeId>, PickleError> {
        let mark = self.marks.pop().ok_or(self.malformed("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn put(&mut self, key: u64) -> Result<(), PickleError> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn get(&mut self, key: u64) -> Result<(), PickleError> {
        let id = *self
            .memo
            .get(&key)
            .ok_or(self.malformed("it refers to an object not yet seen"))?;
        self.stack.push(id);
        Ok(())
    }

    // Numbers.

    fn parse_line<T: std::str::FromStr>(&mut self, trim: &[char]) -> Result<T, PickleError> {
        let line = self.line_text()?;
        line.trim_end_matches(trim)
            .trim()
            .parse()
            .map_err(|_| self.malformed("a number cannot be read"))
    }

    fn decimal_index(&mut self) -> Result<u64, PickleError> {
        self.parse_line(&[])
    }

    fn decimal_int(&mut self) -> Result<(), PickleError> {
        let rest = &self.input[self.position..];
        let truth = if rest.starts_with(b"00\n") {
            Some(false)
        } else {
            rest.starts_with(b"01\n").then_some(true)
        };
        match truth {
            Some(truth) => self.line().and_then(|_| self.push(Node::Bool(truth))),
            None => self.decimal_long(),
        }
    }

    fn decimal_long(&mut self) -> Result<(), PickleError> {
        let value = self.parse_line(&['L'])?;
        self.push(Node::Int(value))
    }

    fn decimal_float(&mut self) -> Result<(), PickleError> {
        let value = self.parse_line(&[])?;
        self.push(Node::Float(value))
    }

    fn long(&mut self, length: u64) -> Result<(), PickleError> {
        let bytes = self.take(length)?;
        if bytes.len() > 8 {
            return self.push(Node::Long(bytes));
        }
        let negative = bytes.last().is_some_and(|&byte| 0x80 <= byte);
        let mut wide = [if negative { 0xFF } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push(Node::Int(i64::from_le_bytes(wide)))
    }

    // Bytes and text.

    fn push_bytes(&mut self, length: u64) -> Result<(), PickleError> {
        let bytes = self.take(length)?;
        self.push(Node::Bytes(bytes))
    }

    fn push_text(&mut self, length: u64) -> Result<(), PickleError> {
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed("a text is not UTF-8"))?;
        self.push(Node::Text(Cow::Borrowed(text)))
    }

    /// Latin-1 with `\uXXXX` and `\UXXXXXXXX` escapes.
    fn escaped_text(&mut self) -> Result<(), PickleError> {
        let mut rest = self.line()?;
        let mut text = String::with_capacity(rest.len());
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            let digits = match (byte, rest.first()) {
                (b'\\', Some(b'u')) => 4,
                (b'\\', Some(b'U')) => 8,
                _ => {
                    text.push(char::from(byte));
                    continue;
                }
            };
            let hex = rest.get(1..=digits).and_then(|hex| std::str::from_utf8(hex).ok());
            let code = hex
                .and_then(|hex| u32::from_str_radix(hex, 16).ok())
                .and_then(char::from_u32);
            text.push(code.ok_or(self.malformed("an escape in a text cannot be read"))?);
            rest = &rest[digits + 1..];
        }
        self.push(Node::Text(Cow::Owned(text)))
    }

    /// Python 2's `'..'`, as far as it needs no escapes.
    fn quoted_text(&mut self) -> Result<(), PickleError> {
        let line = match self.line_text()? {
            Cow::Borrowed(line) => line,
            Cow::Owned(_) => return Err(self.malformed("a text cannot be read")),
        };
        let inner = ['\'', '"']
            .into_iter()
            .find_map(|quote| line.strip_prefix(quote)?.strip_suffix(quote));
        match inner {
            Some(inner) if !inner.contains('\\') => self.push(Node::Text(Cow::Borrowed(inner))),
            _ => Err(self.malformed("a text in quotes cannot be read")),
        }
    }

    // Containers.

    fn tuple_of(&mut self, length: usize) -> Result<(), PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(length) {
            Some(start) if floor <= start => {
                let parts = self.stack.split_off(start);
                self.push(Node::Tuple(parts))
            }
            _ => Err(self.malformed("its stack is empty")),
        }
    }

    fn extend_list(&mut self, parts: Vec<NodeId>) -> Result<(), PickleError> {
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::List(list) => {
                list.extend(parts);
                Ok(())
            }
            _ => Err(self.malformed("it appends to something that is no list")),
        }
    }

    fn extend_dict(&mut self, parts: &[NodeId]) -> Result<(), PickleError> {
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::Dict(entries) if parts.len().is_multiple_of(2) => {
                entries.extend(parts.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => Err(self.malformed("it adds entries to something that is no dictionary")),
        }
    }

    // What could run code.

    fn find_global(&mut self, module: &str, name: &str) -> Result<(), PickleError> {
        match Global::find(module, name) {
            Some(global) => self.push(Node::Global(global)),
            None => self.refuse(&format!("{module}.{name}")),
        }
    }

    fn global(&mut self) -> Result<(), PickleError> {
        let (module, name) = (self.line_text()?, self.line_text()?);
        self.find_global(&module, &name)
    }

    fn stack_global(&mut self) -> Result<(), PickleError> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (self.nodes[module as usize].clone(), self.nodes[name as usize].clone()) {
            (Node::Text(module), Node::Text(name)) => self.find_global(&module, &name),
            _ => Err(self.malformed("the name of a global is no text")),
        }
    }

    fn reduce(&mut self) -> Result<(), PickleError> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Node::Tuple(parts) = &self.nodes[arguments as usize] else {
            return Err(self.malformed("the arguments of a call are no tuple"));
        };
        let parts = parts.as_slice();
        let node = match self.nodes[callable as usize] {
            Node::Global(Global::Encode) => match *parts {
                [text, encoding] if self.is_text(text) && self.is_latin1(encoding) => Some(Node::EncodedBytes(text)),
                _ => None,
            },
            Node::Global(Global::OrderedDict) => match *parts {
                [] => Some(Node::Dict(vec![])),
                [pairs] => self.pairs(pairs).map(Node::Dict),
                _ => None,
            },
            Node::Global(Global::RebuildTensor) => Some(Node::Tensor(parts.to_vec())),
            Node::Global(storage @ Global::Storage(_)) => return self.refuse(&storage.name()),
            _ => return Err(self.malformed("it calls something that is no function")),
        };
        match node {
            Some(node) => self.push(node),
            None => Err(self.malformed("the arguments of a call are not those of a checkpoint")),
        }
    }

    fn is_text(&self, id: NodeId) -> bool {
        matches!(self.nodes[id as usize], Node::Text(_))
    }

    fn is_latin1(&self, id: NodeId) -> bool {
        matches!(&self.nodes[id as usize], Node::Text(name) if name == "latin1" || name == "latin-1")
    }

    /// A list of pairs, as older versions of Python give to `OrderedDict`.
    fn pairs(&self, id: NodeId) -> Option<Vec<(NodeId, NodeId)>> {
        let Node::List(list) = &self.nodes[id as usize] else {
            return None;
        };
        let pair = |&part: &NodeId| match &self.nodes[part as usize] {
            Node::Tuple(parts) | Node::List(parts) => <[NodeId; 2]>::try_from(parts.as_slice()).ok(),
            _ => None,
        };
        list.iter()
            .map(|part| pair(part).map(|[key, value]| (key, value)))
            .collect()
    }

    /// Attributes of a dictionary (torch keeps versions there) are dropped; no other object has any.
    fn build(&mut self) -> Result<(), PickleError> {
        self.pop()?;
        match self.nodes[self.top()? as usize] {
            Node::Dict(_) => Ok(()),
            _ => self.refuse("__setstate__"),
        }
    }

    fn refuse_instance(&mut self) -> Result<(), PickleError> {
        let (module, name) = (self.line_text()?, self.line_text()?);
        self.refuse(&format!("{module}.{name}"))
    }

    /// `OBJ`, `NEWOBJ` and `NEWOBJ_EX`: the class is one of the known globals, else it was refused before.
    fn refuse_object(&mut self) -> Result<(), PickleError> {
        let known = self.stack.iter().rev().find_map(|&id| match self.nodes[id as usize] {
            Node::Global(global) => Some(global.name()),
            _ => None,
        });
        self.refuse(&known.unwrap_or_else(|| "__new__".to_owned()))
    }

    fn refuse(&self, name: &str) -> Result<(), PickleError> {
        const SHOWN: usize = 100;
        let name = name.chars().take(SHOWN).flat_map(char::escape_debug).collect();
        Err(PickleError::Refused { name, at: self.at })
    }

    fn persistent(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        self.push(Node::Persistent(id))
    }
}
