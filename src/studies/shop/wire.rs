//! Requests and answers of the shop, and as much of HTTP/1.1 as its threads and its users speak.

use hyper::body::Bytes;

/// What a customer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The page of a category: products with stock and stars.
    Page(u64),
    /// The picture of a product, in the edition of a step: a page names its pictures anew when they change.
    Image {
        edition: u64,
        product: u64,
    },
    /// A number of a product into the basket.
    Add {
        product: u64,
        quantity: u64,
    },
    Basket,
    Checkout,
    /// The customer's orders.
    Orders,
}

impl Ask {
    fn method(self) -> &'static str {
        match self {
            Ask::Add { .. } | Ask::Checkout => "POST",
            _ => "GET",
        }
    }

    fn path(self) -> String {
        match self {
            Ask::Page(category) => format!("/category/{category}"),
            Ask::Image { edition, product } => format!("/static/{edition}/{product}"),
            Ask::Add { product, quantity } => format!("/basket/{product}/{quantity}"),
            Ask::Basket => "/basket".to_owned(),
            Ask::Checkout => "/checkout".to_owned(),
            Ask::Orders => "/orders".to_owned(),
        }
    }

    /// Returns what is asked for; `None` if the shop has no such address.
    pub fn parse(method: &str, path: &str) -> Option<Ask> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let number = |text: &str| text.parse::<u64>().ok();
        match (method, parts.as_slice()) {
            ("GET", ["category", category]) => Some(Ask::Page(number(category)?)),
            ("GET", ["static", edition, product]) => {
                Some(Ask::Image { edition: number(edition)?, product: number(product)? })
            }
            ("GET", ["basket"]) => Some(Ask::Basket),
            ("GET", ["orders"]) => Some(Ask::Orders),
            ("POST", ["basket", product, quantity]) => {
                Some(Ask::Add { product: number(product)?, quantity: number(quantity)? })
            }
            ("POST", ["checkout"]) => Some(Ask::Checkout),
            _ => None,
        }
    }
}

/// Who asks. A real shop knows customers by a secret of their session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    pub customer: u64,
    /// The end of the primary's log after the customer's last order: what is shown to him must not be older.
    pub seen: u64,
}

impl Session {
    /// Parses the content of a cookie; what is missing is zero.
    pub fn parse(cookie: &str) -> Session {
        let of = |name: &str| {
            let mut parts = cookie.split(';').map(str::trim);
            let value = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        Session { customer: of("customer"), seen: of("seen") }
    }
}

/// What the shop answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
    /// What the customer has seen from now on.
    pub seen: Option<u64>,
    /// Whether the answer is the same for everybody for ever.
    pub is_lasting: bool,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Bytes>) -> Answer {
        Answer { status, body: body.into(), seen: None, is_lasting: false }
    }
}

/// The header of what caches may keep.
pub const LASTING: &str = "max-age=86400, immutable";

/// Returns the text of a request.
pub fn request(ask: Ask, session: Session) -> String {
    let Session { customer, seen } = session;
    format!(
        "{} {} HTTP/1.1\r\nhost: shop\r\ncookie: customer={customer}; seen={seen}\r\ncontent-length: 0\r\n\r\n",
        ask.method(),
        ask.path()
    )
}

/// Returns the text of an answer.
pub fn response(answer: &Answer) -> Vec<u8> {
    let reason = match answer.status {
        200 => "OK",
        404 => "Not Found",
        409 => "Conflict",
        _ => "Service Unavailable",
    };
    let length = answer.body.len();
    let mut text = format!("HTTP/1.1 {} {reason}\r\ncontent-length: {length}\r\n", answer.status);
    if let Some(seen) = answer.seen {
        text += &format!("set-cookie: seen={seen}\r\n");
    }
    if answer.is_lasting {
        text += &format!("cache-control: {LASTING}\r\n");
    }
    let mut text = (text + "\r\n").into_bytes();
    text.extend_from_slice(&answer.body);
    text
}

/// The head of a message: its first line, and its headers with names in lower case.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub first: String,
    headers: Vec<(String, String)>,
    /// Where the body begins.
    pub length: usize,
}

impl Head {
    /// Parses the head of a message of which `bytes` have arrived; `None` if its end has not.
    pub fn parse(bytes: &[u8]) -> Option<Head> {
        let length = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&bytes[..length]);
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Some(Head { first, headers: lines.filter_map(header).collect(), length })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns how many bytes follow it.
    pub fn body(&self) -> usize {
        self.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_understood() {
        let asks = [
            Ask::Page(7),
            Ask::Image { edition: 3, product: u64::MAX },
            Ask::Add { product: 5, quantity: 0 },
            Ask::Basket,
            Ask::Checkout,
            Ask::Orders,
        ];
        for ask in asks {
            let session = Session { customer: 12, seen: u64::MAX };
            let text = request(ask, session);
            let head = Head::parse(text.as_bytes()).unwrap();
            let mut words = head.first.split(' ');
            let (method, path) = (words.next().unwrap(), words.next().unwrap());
            assert_eq!(Ask::parse(method, path), Some(ask));
            assert_eq!(Session::parse(head.header("cookie").unwrap()), session);
            assert_eq!((head.length, head.body()), (text.len(), 0));
        }
        for wrong in ["", "/", "/category/", "/category/x", "/category/1/2", "/orders/1"] {
            assert_eq!(Ask::parse("GET", wrong), None, "{wrong}");
        }
        assert_eq!(Session::parse("nonsense; customer=-1"), Session::default());
    }

    #[test]
    fn an_answer_is_read_to_its_end_and_no_further() {
        let answer = Answer { seen: Some(9), ..Answer::new(200, "page") };
        let text = response(&answer);
        let whole = Head::parse(&text).unwrap();
        assert_eq!(whole.first, "HTTP/1.1 200 OK");
        assert_eq!(
            (whole.length + whole.body(), whole.header("set-cookie")),
            (text.len(), Some("seen=9"))
        );
        assert_eq!(Head::parse(&text[..whole.length - 1]), None);
    }
}
