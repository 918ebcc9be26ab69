//! How deep values may be in one another.

use crate::error::{ConfigError, Location};
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, Source, Span};

/// Each value is read and dropped by functions that call themselves, and dotted keys in inline tables make thousands of levels of
/// a few KiB, in spite of the parser's own limits. It drops duplicates itself, so that this is known before it runs.
const DEEPEST: usize = 80;

/// Checks how deep values are in `text`, of `source`.
///
/// # Errors
/// The first that is too deep, with its length.
pub(crate) fn check(source: &str, text: &str) -> Result<(), (ConfigError, usize)> {
    let mut depth = Depth::default();
    parse_document(&Source::new(text).lex().into_vec(), &mut depth, &mut ());
    let Some(span) = depth.found else {
        return Ok(());
    };
    let location = Location::of(source, text, span.start());
    let message = format!("tables and lists in one another, more than {DEEPEST} deep");
    Err((ConfigError { location, message }, span.len()))
}

/// The depth at a place of a text.
#[derive(Default)]
struct Depth {
    /// Of the table or list that is open.
    base: usize,
    /// Keys since then.
    keys: usize,
    /// The two outside of each inline table and list that is open.
    outside: Vec<(usize, usize)>,
    found: Option<Span>,
}

impl Depth {
    fn header(&mut self) {
        if self.outside.is_empty() {
            self.base = 0;
        }
        self.keys = 0;
    }

    /// False if what is opened is too deep.
    fn open(&mut self, span: Span) -> bool {
        self.outside.push((self.base, self.keys));
        // An element of a list has no key.
        self.base += self.keys.max(1);
        self.keys = 0;
        self.look(span);
        self.found.is_none()
    }

    fn close(&mut self) {
        if let Some(outside) = self.outside.pop() {
            (self.base, self.keys) = outside;
        }
    }

    fn look(&mut self, span: Span) {
        if self.base + self.keys > DEEPEST {
            self.found.get_or_insert(span);
        }
    }
}

impl EventReceiver for Depth {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header();
    }

    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.base += std::mem::take(&mut self.keys);
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header();
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.base += std::mem::take(&mut self.keys) + 1;
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.open(span)
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.open(span)
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn simple_key(
        &mut self,
        span: Span,
        _: Option<toml_parser::decoder::Encoding>,
        _: &mut dyn ErrorSink,
    ) {
        self.keys += 1;
        self.look(span);
    }

    fn value_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.keys = 0;
    }

    fn newline(&mut self, _: Span, _: &mut dyn ErrorSink) {
        if self.outside.is_empty() {
            self.keys = 0;
        }
    }
}
