//! robots.txt by RFC 9309: which addresses of a site a crawler may ask for.
//!
//! Where the standard is silent it follows Google's published parser: misspelt keys, a forgotten colon, `Crawl-delay`
//! as a line that ends no group. Unlike both, a path without its first slash counts as if it had it.

use std::time::Duration;

use url::Url;

use crate::ascii::name_and_value;
use crate::opt_out::match_len;

/// The rules of one site for one crawler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Robots {
    rules: Vec<Rule>,
    crawl_delay: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    /// Normalized, in ASCII; `*` stands for anything.
    pattern: String,
    /// The pattern ended with `$`: it must match to the end.
    whole: bool,
    allow: bool,
}

impl Robots {
    /// The rules of a site that has no robots.txt.
    pub fn allow_all() -> Self {
        Self::default()
    }

    /// Reads the text for a crawler of this product token. Any bytes will do: what is not a rule is skipped.
    pub fn parse(text: &[u8], product_token: &str) -> Self {
        let mut groups = Groups {
            product_token,
            ..Groups::default()
        };
        for line in without_byte_order_mark(text).split(|byte| matches!(byte, b'\n' | b'\r')) {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
            if let Some((key, value)) = key_and_value(line) {
                match key.to_ascii_lowercase().as_slice() {
                    b"user-agent" | b"useragent" | b"user agent" => groups.user_agent(value),
                    b"allow" => groups.rule(value, true),
                    b"disallow" | b"dissallow" | b"dissalow" | b"disalow" | b"diasllow" | b"disallaw" => {
                        groups.rule(value, false);
                    }
                    b"crawl-delay" | b"crawldelay" => groups.crawl_delay(value),
                    _ => {}
                }
            }
        }
        groups.finish()
    }

    /// True if the address may be asked for. The longest matching pattern decides; of equals, the one that allows.
    pub fn allows(&self, url: &Url) -> bool {
        let mut path = url.path().to_owned();
        if let Some(query) = url.query() {
            path.push('?');
            path.push_str(query);
        }
        let path = normalize(path.as_bytes(), |special| if special == b'*' { "%2A" } else { "%24" });
        let matching = self.rules.iter().filter(|rule| rule.matches(&path));
        let decisive = matching.map(|rule| (rule.len(), rule.allow)).max();
        path == "/robots.txt" || decisive.is_none_or(|(_, allow)| allow)
    }

    /// The pause between two requests that the site asks for.
    pub fn crawl_delay(&self) -> Option<Duration> {
        self.crawl_delay
    }

    /// Memory that the rules take, roughly.
    pub(super) fn bytes(&self) -> usize {
        let sizes = self.rules.iter().map(|rule| size_of::<Rule>() + rule.pattern.len());
        sizes.sum()
    }
}

impl Rule {
    fn new(path: &[u8], allow: bool) -> Self {
        let start = path.strip_suffix(b"$");
        let mut pattern = normalize(
            start.unwrap_or(path),
            |special| if special == b'*' { "*" } else { "%24" },
        );
        if !pattern.starts_with(['/', '*']) {
            pattern.insert(0, '/');
        }
        let whole = start.is_some();
        Self { pattern, whole, allow }
    }

    fn len(&self) -> usize {
        self.pattern.len() + usize::from(self.whole)
    }

    /// Finds the parts between the stars one after another, each as early as possible, which is enough: an earlier
    /// place leaves more for the parts that follow. So time grows with pattern plus path, whatever the pattern.
    fn matches(&self, path: &str) -> bool {
        let mut parts = self.pattern.split('*').peekable();
        let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else {
            return false;
        };
        if parts.peek().is_none() {
            return !self.whole || rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if self.whole && parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(start) => rest = &rest[start + part.len()..],
                None => return false,
            }
        }
        true
    }
}

/// The groups that matter, while they are read: those for the crawler, and those for everybody.
#[derive(Default)]
struct Groups<'a> {
    product_token: &'a str,
    ours: Robots,
    everybodys: Robots,
    /// Length of the best name for the crawler so far; 0 if there was none.
    best_len: usize,
    /// The current group is ours, everybody's, or both.
    in_ours: bool,
    in_everybodys: bool,
    /// The current group has rules, so that the next user agent begins another.
    has_rules: bool,
}

impl Groups<'_> {
    fn user_agent(&mut self, name: &[u8]) {
        if self.has_rules {
            (self.in_ours, self.in_everybodys, self.has_rules) = (false, false, false);
        }
        if let [b'*'] | [b'*', b' ' | b'\t', ..] = name {
            self.in_everybodys = true;
        } else if let Some(len) = match_len(name, self.product_token).filter(|&len| self.best_len <= len) {
            if self.best_len < len {
                self.ours = Robots::default();
                self.best_len = len;
            }
            self.in_ours = true;
        }
    }

    fn rule(&mut self, path: &[u8], allow: bool) {
        self.has_rules = true;
        // An empty path says nothing: `Disallow:` is how a site allows all.
        if path.is_empty() || !(self.in_ours || self.in_everybodys) {
            return;
        }
        let rule = Rule::new(path, allow);
        if self.in_everybodys && self.best_len == 0 {
            self.everybodys.rules.push(rule.clone());
        }
        if self.in_ours {
            self.ours.rules.push(rule);
        }
    }

    fn crawl_delay(&mut self, value: &[u8]) {
        let seconds = str::from_utf8(value).ok().and_then(|text| text.parse::<f64>().ok());
        let delay = seconds.and_then(crawl_delay);
        if self.in_ours {
            self.ours.crawl_delay = self.ours.crawl_delay.max(delay);
        }
        if self.in_everybodys {
            self.everybodys.crawl_delay = self.everybodys.crawl_delay.max(delay);
        }
    }

    fn finish(self) -> Robots {
        if self.best_len > 0 { self.ours } else { self.everybodys }
    }
}

/// None for what is no pause. Beyond what can be told, as long as can be told.
fn crawl_delay(seconds: f64) -> Option<Duration> {
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// One spelling for paths that mean the same: escapes only where they are needed, in upper case; the result is ASCII.
/// `special` gives the spelling of a bare `*` or `$`.
fn normalize(path: &[u8], special: fn(u8) -> &'static str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut in_query = false;
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => match rest.split_at_checked(2).map(|(code, after)| (unescape(code), after)) {
                Some((Some(byte), after)) => {
                    rest = after;
                    push_escaped(&mut normal, byte, in_query);
                }
                _ => normal.push_str("%25"),
            },
            b'*' | b'$' => normal.push_str(special(byte)),
            b'?' => {
                in_query = true;
                normal.push('?');
            }
            // Addresses escape the apostrophe in queries only.
            b'\'' if in_query => normal.push_str("%27"),
            b'!'..=b'~' if !br#""<>[\]^`{|}"#.contains(&byte) => normal.push(char::from(byte)),
            _ => escape(&mut normal, byte),
        }
    }
    normal
}

/// An escape in a path: undone where it means the same without. `:` and `/` mean nothing of their own in a query.
fn push_escaped(normal: &mut String, byte: u8, in_query: bool) {
    let is_unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if is_unreserved || in_query && matches!(byte, b':' | b'/') {
        normal.push(char::from(byte));
    } else {
        escape(normal, byte);
    }
}

fn escape(normal: &mut String, byte: u8) {
    normal.push_str(&format!("%{byte:02X}"));
}

/// The byte of two hexadecimal digits.
fn unescape(digits: &[u8]) -> Option<u8> {
    let mut values = digits.iter().map(|&digit| char::from(digit).to_digit(16));
    values.try_fold(0_u8, |byte, value| Some(byte << 4 | value? as u8))
}

/// Splits a line at its colon, or at the white space between two words if there is none.
fn key_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    if line.contains(&b':') {
        return name_and_value(line);
    }
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (key, value) = (words.next()?, words.next()?);
    words.next().is_none().then_some((key, value))
}

fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    // Google passes over a damaged mark as well.
    let marks = text.iter().zip(b"\xEF\xBB\xBF");
    &text[marks.take_while(|(byte, mark)| byte == mark).count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(robots: &str, agent: &str, path: &str) -> bool {
        let url = Url::parse(&format!("http://foo.bar{path}")).unwrap();
        Robots::parse(robots.as_bytes(), agent).allows(&url)
    }

    fn check(robots: &str, agent: &str, path: &str, expected: bool) {
        assert_eq!(allows(robots, agent, path), expected, "{agent} {path}\n{robots}");
    }

    /// The one pattern as a rule for everybody.
    fn check_pattern(pattern: &str, path: &str, matches: bool) {
        check(
            &format!("user-agent: *\ndisallow: {pattern}\n"),
            "FooBot",
            path,
            !matches,
        );
    }

    #[test]
    fn example_of_the_standard() {
        // RFC 9309, section 5.1, with the outcomes that its groups mean.
        let robots = "User-Agent: *\nDisallow: *.gif$\nDisallow: /example/\nAllow: /publications/\n\n\
                      User-Agent: foobot\nDisallow:/\nAllow:/example/page.html\nAllow:/example/allowed.gif\n\n\
                      User-Agent: barbot\nUser-Agent: bazbot\nDisallow: /example/page.html\n\n\
                      User-Agent: quxbot\n\nEOF\n";
        for (agent, path, expected) in [
            ("anybot", "/a.gif", false),
            ("anybot", "/a.gif?x", true),
            ("anybot", "/example/", false),
            ("anybot", "/publications/", true),
            ("anybot", "/publications/a.gif", true),
            ("anybot", "/", true),
            ("foobot", "/example/page.html", true),
            ("foobot", "/example/allowed.gif", true),
            ("foobot", "/example/other.gif", false),
            ("foobot", "/", false),
            ("barbot", "/example/page.html", false),
            ("bazbot", "/example/page.html", false),
            ("bazbot", "/example/allowed.gif", true),
            ("quxbot", "/example/", true),
            ("quxbot", "/a.gif", true),
        ] {
            check(robots, agent, path, expected);
        }
        // Section 5.2: the longest match wins.
        let robots = "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n";
        check(robots, "foobot", "/example/page/disallowed.gif", false);
        check(robots, "foobot", "/example/page/", true);
    }

    #[test]
    fn groups_are_chosen_and_merged() {
        let merged = "user-agent: ExampleBot\ndisallow: /foo\ndisallow: /bar\n\nuser-agent: BazBot\ndisallow: /all\n\n\
                      user-agent: examplebot\ndisallow: /baz\n";
        for (path, expected) in [("/foo", false), ("/bar", false), ("/baz", false), ("/all", true)] {
            check(merged, "ExampleBot", path, expected);
            check(merged, "EXAMPLEBOT", path, expected);
        }
        let global = "user-agent: *\nallow: /\nuser-agent: FooBot\ndisallow: /\n";
        check(global, "FooBot", "/x/y", false);
        check(global, "BarBot", "/x/y", true);
        // An own group without rules allows all; rules before any group are nobody's.
        check("user-agent: *\ndisallow: /\nuser-agent: FooBot\n", "FooBot", "/x", true);
        check(
            "user-agent: FooBot\nallow: /\nuser-agent: *\ndisallow: /\n",
            "QuxBot",
            "/x",
            false,
        );
        check("disallow: /x\nuser-agent: FooBot\n", "FooBot", "/x", true);
        check("", "FooBot", "/x", true);
        // Two groups for everybody are one; other lines end no group.
        let two = "user-agent: *\ndisallow: /a\n\nuser-agent: *\ndisallow: /b\n";
        check(two, "FooBot", "/a", false);
        check(two, "FooBot", "/b", false);
        let other = "user-agent: BarBot\nsitemap: https://foo.bar/map\n\nuser-agent: *\nunknown: x\ndisallow: /\n";
        check(other, "BarBot", "/x", false);
        check(other, "FooBot", "/x", false);
    }

    #[test]
    fn product_tokens_match_whole_and_the_longest_wins() {
        for (line, matches) in [
            ("FooBot", true),
            ("foobot", true),
            ("FooBot/1.2", true),
            ("FooBot 1.2", true),
            ("Foo Bar", false),
            ("FooBo", false),
            ("FooBots", false),
            ("Foo", false),
            ("Bot", false),
            ("*", true),
            ("* x", true),
            ("**", false),
            ("", false),
        ] {
            check(&format!("user-agent: {line}\ndisallow: /\n"), "FooBot", "/x", !matches);
        }
        let news = "user-agent: foobot\ndisallow: /a\n\nuser-agent: *\ndisallow: /b\n\nuser-agent: foobot-news\ndisallow: /c\n";
        for (agent, forbidden) in [
            ("foobot-news", "/c"),
            ("foobot", "/a"),
            ("foobot-images", "/a"),
            ("otherbot", "/b"),
        ] {
            for path in ["/a", "/b", "/c"] {
                check(news, agent, path, path != forbidden);
            }
        }
        // The better name counts wherever it stands, and whoever else is named with it.
        let before = "user-agent: foobot-news\nuser-agent: x\ndisallow: /c\nuser-agent: foobot\ndisallow: /a\n";
        check(before, "foobot-news", "/a", true);
        check(before, "foobot-news", "/c", false);
    }

    #[test]
    fn lines_are_read_as_people_write_them() {
        for robots in [
            "user-agent: FooBot\ndisallow: /\n",
            "User-Agent:FooBot\nDisallow:/",
            "USER-AGENT : FooBot\nDISALLOW : /\n",
            "user-agent FooBot\ndisallow /\n",
            "useragent: FooBot\ndissallow: /\n",
            "user agent: FooBot\ndisalow: /\n",
            "user-agent: FooBot # us\r\ndisallow: / # all\r\n",
            "user-agent: FooBot\rdisallow: /\r",
            "\u{feff}user-agent: FooBot\ndisallow: /\n",
            "user-agent: FooBot\n\n\n\tdisallow: \t/\t\n",
            "<html>\n\0\nuser-agent: FooBot\n::::\n:\ndisallow\ndisallow: /\n",
        ] {
            check(robots, "FooBot", "/x", false);
            check(robots, "BarBot", "/x", true);
        }
        for robots in [
            "foo: FooBot\nbar: /\n",
            "user-agent: FooBot\ndisallow:\n",
            "user-agent: FooBot\n#disallow: /\n",
        ] {
            check(robots, "FooBot", "/x", true);
        }
        for mark in [&b"\xEF"[..], b"\xEF\xBB", b"\xEF\xBB\xBF"] {
            let text = [mark, b"user-agent: FooBot\ndisallow: /\n"].concat();
            assert!(
                !Robots::parse(&text, "FooBot").allows(&Url::parse("http://foo.bar/x").unwrap()),
                "{mark:?}"
            );
        }
    }

    #[test]
    fn longest_match_decides() {
        for (rules, path, expected) in [
            // Google: order of precedence for rules, and the tests of its parser.
            ("allow: /p\ndisallow: /", "/page", true),
            ("allow: /folder\ndisallow: /folder", "/folder/page", true),
            ("allow: /page\ndisallow: /*.htm", "/page.htm", false),
            ("allow: /page\ndisallow: /*.ph", "/page.php5", true),
            ("allow: /$\ndisallow: /", "/", true),
            ("allow: /$\ndisallow: /", "/page.htm", false),
            ("disallow: /x/page.html\nallow: /x/", "/x/page.html", false),
            ("allow: /x/page.html\ndisallow: /x/", "/x/page.html", true),
            ("allow: /x/page.html\ndisallow: /x/", "/x/", false),
            ("disallow: /\nallow: ", "/x", false),
            ("disallow: /x/page.html\nallow: /x/page.html", "/x/page.html", true),
            ("allow: /page\ndisallow: /*.html", "/page.html", false),
            ("allow: /x/page.\ndisallow: /*.html", "/x/page.html", true),
            ("disallow: /", "/robots.txt", true),
            ("disallow: /robots.txt", "/robots.txt?x", false),
            ("disallow: /x", "/X", true),
        ] {
            check(&format!("user-agent: *\n{rules}\n"), "FooBot", path, expected);
        }
    }

    #[test]
    fn patterns_match_as_documented() {
        // Google: example path matches.
        for (pattern, matching, others) in [
            ("/", &["/", "/a", "/a?b"][..], &[][..]),
            ("/*", &["/", "/a"], &[]),
            ("/$", &["/"], &["/a", "/?a"]),
            (
                "/fish",
                &[
                    "/fish",
                    "/fish.html",
                    "/fish/salmon.html",
                    "/fishheads",
                    "/fishheads/yummy.html",
                    "/fish.php?id=anything",
                ],
                &["/Fish.asp", "/catfish", "/?id=fish", "/desert/fish"],
            ),
            (
                "/fish*",
                &[
                    "/fish",
                    "/fish.html",
                    "/fish/salmon.html",
                    "/fishheads",
                    "/fish.php?id=anything",
                ],
                &["/Fish.asp", "/catfish", "/?id=fish", "/desert/fish"],
            ),
            (
                "/fish/",
                &["/fish/", "/fish/?id=anything", "/fish/salmon.htm"],
                &["/fish", "/fish.html", "/animals/fish/", "/Fish/Salmon.asp"],
            ),
            (
                "/*.php",
                &[
                    "/index.php",
                    "/filename.php",
                    "/folder/filename.php",
                    "/folder/filename.php?p",
                    "/folder/any.php.file.html",
                    "/filename.php/",
                ],
                &["/", "/windows.PHP"],
            ),
            (
                "/*.php$",
                &["/filename.php", "/folder/filename.php", "/a.php.php"],
                &[
                    "/filename.php?parameters",
                    "/filename.php/",
                    "/filename.php5",
                    "/windows.PHP",
                ],
            ),
            (
                "/fish*.php",
                &["/fish.php", "/fishheads/catfish.php?parameters"],
                &["/Fish.PHP"],
            ),
            // Stars that overlap, repeat, and stand at the ends.
            ("/a*a$", &["/aa", "/aba", "/aaa"], &["/a", "/ab"]),
            ("/a**b", &["/ab", "/axb"], &["/a"]),
            ("/*ab*ab$", &["/abab", "/ababab"], &["/ab", "/aab"]),
            ("/a*$", &["/a", "/ab"], &["/b"]),
            ("*.gif$", &["/x.gif"], &["/x.gifs"]),
            ("fish", &["/fish"], &["/a/fish"]),
            ("$", &["/"], &["/a"]),
            // A dollar inside and escaped specials are letters.
            ("/a$b", &["/a$b", "/a%24b"], &["/a", "/ab"]),
            (
                "/file-with-a-%2A.html",
                &["/file-with-a-*.html", "/file-with-a-%2a.html"],
                &["/file-with-a-b.html"],
            ),
            ("/path/foo-%24", &["/path/foo-$", "/path/foo-$x"], &["/path/foo-"]),
        ] {
            matching.iter().for_each(|path| check_pattern(pattern, path, true));
            others.iter().for_each(|path| check_pattern(pattern, path, false));
        }
    }

    #[test]
    fn spellings_of_one_path_are_one() {
        // RFC 9309, section 2.2.2.
        for (pattern, path, matches) in [
            ("/foo/bar?baz=quz", "/foo/bar?baz=quz", true),
            (
                "/foo/bar?baz=https://foo.bar",
                "/foo/bar?baz=https%3A%2F%2Ffoo.bar",
                true,
            ),
            (
                "/foo/bar?baz=https%3A%2F%2Ffoo.bar",
                "/foo/bar?baz=https://foo.bar",
                true,
            ),
            ("/foo/bar/\u{30C4}", "/foo/bar/%E3%83%84", true),
            ("/foo/bar/%e3%83%84", "/foo/bar/\u{30C4}", true),
            ("/foo/bar/%62%61%7A", "/foo/bar/baz", true),
            ("/foo/bar/baz", "/foo/bar/%62%61%7A", true),
            // An escaped slash in a path is another path.
            ("/a%2fb.html", "/a%2Fb.html", true),
            ("/a%2fb.html", "/a/b.html", false),
            ("/a/b.html", "/a%2fb.html", false),
            ("/%7ejoe/", "/~joe/", true),
            ("/~joe/", "/%7Ejoe/", true),
            ("/a b", "/a b", true),
            ("/a%20b", "/a b", true),
            ("/q?it's", "/q?it's", true),
            ("/it's", "/it's", true),
            ("/a|b[c]", "/a|b[c]", true),
            ("/100%", "/100%", true),
            ("/100%", "/100%25", true),
            ("/%zz", "/%zz", true),
        ] {
            check_pattern(pattern, path, matches);
        }
        let latin = b"user-agent: *\ndisallow: /caf\xE9\n";
        assert!(!Robots::parse(latin, "FooBot").allows(&Url::parse("http://foo.bar/caf%E9").unwrap()));
    }

    fn check_delay(robots: &str, agent: &str, expected: Option<Duration>) {
        assert_eq!(
            Robots::parse(robots.as_bytes(), agent).crawl_delay(),
            expected,
            "{agent}\n{robots}"
        );
    }

    #[test]
    fn crawl_delay_is_the_groups() {
        let robots = "user-agent: slow\ncrawl-delay: 10\nuser-agent: *\ncrawl-delay: 0.5\ndisallow: /x\n";
        check_delay(robots, "slow", Some(Duration::from_secs(10)));
        check_delay(robots, "other", Some(Duration::from_millis(500)));
        check_delay(
            "user-agent: *\ncrawl-delay: 2\nuser-agent: *\nCrawl-Delay: 3\n",
            "x",
            Some(Duration::from_secs(3)),
        );
        for (value, expected) in [
            ("1e400", Some(Duration::MAX)),
            ("inf", Some(Duration::MAX)),
            ("-1", None),
            ("nan", None),
            ("soon", None),
            ("", None),
        ] {
            check_delay(&format!("user-agent: *\ncrawl-delay: {value}\n"), "x", expected);
        }
    }

    #[test]
    fn hostile_patterns_end() {
        let stars = format!("user-agent: *\ndisallow: /{}b\n", "*a".repeat(200_000));
        check(&stars, "FooBot", &format!("/{}", "a".repeat(8_000)), true);
        let many = format!("user-agent: *\n{}", "disallow: /*z\n".repeat(36_000));
        check(&many, "FooBot", &format!("/{}", "a".repeat(8_000)), true);
        check(&"\0\u{1}:\u{2}\r".repeat(100_000), "FooBot", "/", true);
    }
}
