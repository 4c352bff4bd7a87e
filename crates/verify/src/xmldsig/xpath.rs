//! Recognises XPath as signers write it: expressions that leave elements out.
//!
//! XPath 1.0 is not evaluated. Only the expressions of the standards and of the tools in use are recognised, in any
//! spelling; all others are unresolved. A recognised expression can't keep a part of an element that it leaves out, nor
//! of one that is not signed. So the signed content is always a tree.

/// Elements that an expression leaves out, each with all its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Omitted<'t> {
    /// All elements with this name.
    Named(QName<'t>),
    /// The nearest element with this name around the expression itself.
    Around(QName<'t>),
}

/// A name with a prefix; the prefix is empty if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QName<'t> {
    pub(super) prefix: &'t str,
    pub(super) local: &'t str,
}

/// Greatest number of tokens in an expression.
const MAX_TOKENS: usize = 200;

/// Reads the condition of an XPath transform (XMLDSig 1.1 section 6.6.3), which each node must meet to be kept. `and`
/// may join several conditions. `None` if it is not recognised.
pub(super) fn condition(text: &str) -> Option<Vec<Omitted<'_>>> {
    let mut tokens = Tokens::read(text)?;
    let mut omitted = vec![tokens.term()?];
    while !tokens.is_at_end() {
        tokens.expect(Token::Name(QName {
            prefix: "",
            local: "and",
        }))?;
        omitted.push(tokens.term()?);
    }
    Some(omitted)
}

/// Reads the path of an XPath filter 2.0, which selects elements to leave out. `None` if it is not recognised.
pub(super) fn path(text: &str) -> Option<Omitted<'_>> {
    let mut tokens = Tokens::read(text)?;
    let omitted = match tokens.peek()? {
        Token::Symbol("//") => {
            tokens.next()?;
            Omitted::Named(tokens.name()?)
        }
        Token::Symbol("/") => {
            tokens.next()?;
            let axis = tokens.axis()?;
            let is_below = ["descendant", "descendant-or-self"].contains(&axis);
            is_below.then(|| tokens.name().map(Omitted::Named))??
        }
        _ => Omitted::Around(tokens.around()?),
    };
    tokens.is_at_end().then_some(omitted)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Name(QName<'t>),
    Number(&'t str),
    Symbol(&'t str),
}

/// The tokens of an expression, and the position of the next one.
struct Tokens<'t> {
    tokens: Vec<Token<'t>>,
    next: usize,
}

impl<'t> Tokens<'t> {
    fn read(text: &'t str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut rest = text.trim_ascii_start();
        while !rest.is_empty() {
            if tokens.len() == MAX_TOKENS {
                return None;
            }
            let (token, after) = token(rest)?;
            tokens.push(token);
            rest = after.trim_ascii_start();
        }
        Some(Self { tokens, next: 0 })
    }

    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.next).copied()
    }

    fn next(&mut self) -> Option<Token<'t>> {
        let token = self.peek()?;
        self.next += 1;
        Some(token)
    }

    fn is_at_end(&self) -> bool {
        self.next == self.tokens.len()
    }

    fn expect(&mut self, token: Token<'_>) -> Option<()> {
        (self.next()? == token).then_some(())
    }

    fn symbols<const N: usize>(&mut self, symbols: [&str; N]) -> Option<()> {
        symbols
            .into_iter()
            .try_for_each(|symbol| self.expect(Token::Symbol(symbol)))
    }

    fn name(&mut self) -> Option<QName<'t>> {
        match self.next()? {
            Token::Name(name) => Some(name),
            _ => None,
        }
    }

    /// A name without a prefix.
    fn word(&mut self) -> Option<&'t str> {
        let name = self.name()?;
        name.prefix.is_empty().then_some(name.local)
    }

    fn axis(&mut self) -> Option<&'t str> {
        let axis = self.word()?;
        self.symbols(["::"])?;
        Some(axis)
    }

    /// `not(ancestor-or-self::NAME)`, or `count` as [`Self::grows`] reads it.
    fn term(&mut self) -> Option<Omitted<'t>> {
        match self.word()? {
            "not" => {
                self.symbols(["("])?;
                let name = self.ancestor_or_self()?;
                self.symbols([")"])?;
                Some(Omitted::Named(name))
            }
            "count" => self.grows(),
            _ => None,
        }
    }

    /// The rest of `count(ancestor-or-self::NAME | here()/ancestor::NAME[1]) > count(ancestor-or-self::NAME)` (XMLDSig
    /// 1.1 section 6.6.4), with the parts of the union in either order. It leaves out the `NAME` around the expression.
    fn grows(&mut self) -> Option<Omitted<'t>> {
        self.symbols(["("])?;
        let is_here_first = self.peek()? == Token::Name(HERE);
        let (around, own) = if is_here_first {
            let around = self.around()?;
            self.symbols(["|"])?;
            (around, self.ancestor_or_self()?)
        } else {
            let own = self.ancestor_or_self()?;
            self.symbols(["|"])?;
            (self.around()?, own)
        };
        self.symbols([")", ">"])?;
        let is_count = self.word()? == "count";
        self.symbols(["("])?;
        let counted = self.ancestor_or_self()?;
        self.symbols([")"])?;
        let is_one = is_count && around == own && own == counted;
        is_one.then_some(Omitted::Around(around))
    }

    /// `ancestor-or-self::NAME`.
    fn ancestor_or_self(&mut self) -> Option<QName<'t>> {
        let axis = self.axis()?;
        (axis == "ancestor-or-self").then(|| self.name())?
    }

    /// `here()/ancestor::NAME[1]`.
    fn around(&mut self) -> Option<QName<'t>> {
        self.expect(Token::Name(HERE))?;
        self.symbols(["(", ")", "/"])?;
        let is_ancestor = self.axis()? == "ancestor";
        let name = self.name()?;
        self.symbols(["["])?;
        self.expect(Token::Number("1"))?;
        self.symbols(["]"])?;
        is_ancestor.then_some(name)
    }
}

const HERE: QName<'_> = QName {
    prefix: "",
    local: "here",
};

/// The first token of a text, and the text after it.
fn token(text: &str) -> Option<(Token<'_>, &str)> {
    const SYMBOLS: [&str; 9] = ["//", "/", "::", "(", ")", "[", "]", "|", ">"];
    if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| text.starts_with(symbol)) {
        return Some((Token::Symbol(symbol), text.strip_prefix(symbol)?));
    }
    let digits = text.find(|it: char| !it.is_ascii_digit());
    let (number, rest) = text.split_at(digits.unwrap_or(text.len()));
    if !number.is_empty() {
        return Some((Token::Number(number), rest));
    }
    let (first, rest) = nc_name(text)?;
    let second = rest.strip_prefix(':').filter(|it| !it.starts_with(':'));
    Some(match second.map(nc_name) {
        Some(name) => {
            let (local, rest) = name?;
            let prefix = first;
            (Token::Name(QName { prefix, local }), rest)
        }
        None => {
            let name = QName {
                prefix: "",
                local: first,
            };
            (Token::Name(name), rest)
        }
    })
}

/// A name without a colon, and the text after it.
fn nc_name(text: &str) -> Option<(&str, &str)> {
    let is_part = |it: char| it.is_alphanumeric() || matches!(it, '-' | '_' | '.');
    let end = text.find(|it| !is_part(it)).unwrap_or(text.len());
    let is_name = text.starts_with(|it: char| it.is_alphabetic() || it == '_');
    is_name.then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: QName<'_> = QName {
        prefix: "ds",
        local: "Signature",
    };

    #[test]
    fn expressions_are_known_however_they_are_spelt() {
        for spelt in [
            "not(ancestor-or-self::ds:Signature)",
            " not ( ancestor-or-self :: ds:Signature )\n",
        ] {
            assert_eq!(condition(spelt), Some(vec![Omitted::Named(SIGNATURE)]));
        }
        for spelt in [
            "count(ancestor-or-self::ds:Signature | here()/ancestor::ds:Signature[1]) > count(ancestor-or-self::ds:Signature)",
            "count(here()/ancestor::ds:Signature[1]|ancestor-or-self::ds:Signature)>count(ancestor-or-self::ds:Signature)",
        ] {
            assert_eq!(condition(spelt), Some(vec![Omitted::Around(SIGNATURE)]));
        }
        let two = "not(ancestor-or-self::ds:Signature) and not(ancestor-or-self::x)";
        let x = QName {
            prefix: "",
            local: "x",
        };
        let expected = vec![Omitted::Named(SIGNATURE), Omitted::Named(x)];
        assert_eq!(condition(two), Some(expected));
        for spelt in ["//ds:Signature", "/descendant::ds:Signature"] {
            assert_eq!(path(spelt), Some(Omitted::Named(SIGNATURE)));
        }
        let around = "here()/ancestor::ds:Signature[1]";
        assert_eq!(path(around), Some(Omitted::Around(SIGNATURE)));
    }

    #[test]
    fn what_would_keep_something_else_is_not_known() {
        for unknown in [
            "",
            "true()",
            "not(self::ds:Signature)",
            "not(ancestor::ds:Signature)",
            "not(ancestor-or-self::ds:Signature) or true()",
            "not(ancestor-or-self::ds:Signature[@Id])",
            "not(ancestor-or-self::ds:Signature) and",
            "not(not(ancestor-or-self::ds:Signature))",
            "ancestor-or-self::ds:Signature",
            "not(ancestor-or-self::*)",
            "count(ancestor-or-self::ds:Signature | here()/ancestor::ds:Signature[1]) > count(ancestor-or-self::ds:Object)",
            "count(ancestor-or-self::ds:Signature | here()/ancestor::ds:Signature[2]) > count(ancestor-or-self::ds:Signature)",
            "not(ancestor-or-self::ds::Signature)",
            "not(ancestor-or-self::ds:Signature))",
        ] {
            assert_eq!(condition(unknown), None, "{unknown}");
        }
        for unknown in ["/", "//", "//ds:Signature/..", "ds:Signature", "id('a')"] {
            assert_eq!(path(unknown), None, "{unknown}");
        }
        assert_eq!(condition(&"not(".repeat(1_000)), None);
    }
}
