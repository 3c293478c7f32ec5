//! Whether the object that is being written is complete, and how much was written after it.

/// Follows a JSON object byte by byte, after a number of bytes that do not belong to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Braces {
    skip: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    opened: bool,
    beyond: usize,
}

impl Braces {
    /// An object that begins `skip` bytes later.
    pub(super) fn after(skip: usize) -> Self {
        Self { skip, ..Self::default() }
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.skip > 0 {
                self.skip -= 1;
            } else if self.closed() {
                self.beyond += 1;
            } else if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => {
                        self.depth += 1;
                        self.opened = true;
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }

    /// Whether the object was opened and closed again.
    pub(super) fn closed(self) -> bool {
        self.opened && self.depth == 0
    }

    /// How many bytes came after the object.
    pub(super) fn beyond(self) -> usize {
        self.beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_hide_braces() {
        let closed = |text: &str| {
            let mut braces = Braces::after(2);
            for byte in text.bytes() {
                braces.read(&[byte]);
            }
            braces.closed()
        };
        assert!(closed("{{{}"));
        assert!(closed("}}{\"a\":[{\"b\\\\\":\"}\\\"{\"}]}"));
        assert!(!closed("}}{\"a\\\"}\""));
        assert!(!closed("{}"));
    }

    #[test]
    fn what_comes_after_is_counted_only() {
        let mut braces = Braces::after(0);
        braces.read(b"{}},{\"a");
        assert!(braces.closed());
        assert_eq!(braces.beyond(), 5);
    }
}
