//! Send text over HTTP compressed: gzip by the server, as the client offers to take it.

use std::{
    collections::HashSet,
    fs,
    io::{self, Read, Write},
    sync::Arc,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use hyper::{StatusCode, header::CONTENT_ENCODING};
use rand::RngExt;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::fixtures::{
    http::{Client, runtime},
    nginx, text,
};
use worthit_pair::prelude::*;
use worthit_servers::{link::Link, nginx::Nginx};

/// Orders in a document, which is 20 KB with them.
const ORDERS: u64 = 80;
/// Documents in the rotation.
const DOCUMENTS: u64 = 16;
/// No document is smaller, with the head of its answer, bytes.
const LEAST_PLAIN: u64 = 19_000;
/// No compressed one is smaller.
const LEAST_COMPRESSED: u64 = 3_000;
/// No compressed one is larger.
const MOST_COMPRESSED: u64 = 6_000;

/// Time of the first order, in seconds since 1970.
const OPENED_AT: u64 = 1_700_000_000;

const BYTES_SENT: Cause = Cause::new("bytes_sent", "bytes sent over the link")
    .counted("and asks the link how many bytes of answers it has carried");

pub const PAIR: Pair = Pair {
    title: "Compress what goes over a slow link",
    review: Review {
        smell: "JSON, HTML or other text to clients on the internet, without `Content-Encoding`.",
        remedy: "In nginx `gzip on;` and the types, `gzip_types application/json;`: by default it compresses HTML only. What \
                 seldom changes is compressed once, before (`gzip_static on;`, the alternative). Clients that send \
                 `Accept-Encoding: gzip`, as all browsers do, decompress it.",
        keep_naive_when: "Client and server are in one data centre: the link carries more than one core compresses. Or the \
                          content is compressed already (images, archives), or so small that it is one packet anyway.",
        costs: "CPU time of the server for each answer, and a little of the client's. Answers with secrets beside text that an \
                attacker chooses tell the secret by their length (BREACH): do not compress those.",
        lint: Lint::None,
    },
    naive: Side { summary: "plain JSON", growth: Growth::Other("bytes by bandwidth") },
    optimized: Side {
        summary: "gzip on the fly, at nginx's level (1)",
        growth: Growth::Other(
            "fewer bytes by bandwidth, and the compressing, which does not depend on it",
        ),
    },
    input: "GETs of JSON documents of 20 KB, 80 orders each, whose ids, times, prices and notes vary; 16 documents in \
            turn. One client, one connection, a closed loop. nginx serves them from files. The link is a proxy that passes \
            answers on no faster than its bandwidth; it has no latency and loses nothing. The client decompresses the whole \
            document; it parses none.",
    axis: Axis {
        name: "bandwidth",
        unit: "Mbit/s",
        is_size: false,
        points: Points::Fixed { default: &[10, 50, 200, 1_000, 10_000], deep: &[] },
    },
    unit: "document",
    headline: Headline::At { level: "", point: 50 },
    alternatives: &[SideBeside {
        name: "ahead",
        summary: "compressed before, at the highest level",
    }],
    causes: &[Claim {
        cause: BYTES_SENT,
        naive: Count::AtLeast(|_| LEAST_PLAIN),
        optimized: Count::AtMost(|_| MOST_COMPRESSED),
    }],
    explanation: Explanation {
        why: "The link takes its time for each byte, and there are fewer. The server must compress them first, which takes the \
              same time on any link: on a slow one that is a small part of what is saved, on a fast one it is more. Documents \
              that are compressed ahead cost the server nothing, and the client takes little.",
        share_of_cause: ShareOfCause::Within(0.3, 1.05),
        far_end: FarEnd::Falls("on a fast link, compressing takes longer than what it saves"),
        keep_naive: KeepNaive::From(1_000),
    },
    traps: &[
        &Trap {
            name: "a document says the same again and again",
            reason: "it would be compressed to next to nothing, as no real one is",
            check: |inputs: &[Document]| {
                let all = inputs.iter();
                let alike = all.filter(|d| compressed(&d.content).len() * 12 < d.content.len());
                ensure(alike.count() == 0, || "a document compresses too well".to_owned())
            },
            sprung: || {
                let content = r#"{"id":7,"note":"leave it at the door"},"#.repeat(500);
                vec![Document { megabits: 10, name: "1.json".to_owned(), content }]
            },
        },
        &Trap {
            name: "the same document again and again",
            reason: "the server would have it in its nearest cache",
            check: |inputs: &[Document]| {
                let different: HashSet<&String> = inputs.iter().map(|d| &d.content).collect();
                ensure(different.len() == inputs.len(), || format!("{} differ", different.len()))
            },
            sprung: || {
                let (name, content) = ("1.json".to_owned(), "[]".to_owned());
                vec![Document { megabits: 10, name, content }; 32]
            },
        },
    ],
    limit: Limit::Work(&[
        Work::Waiting(|case| LEAST_COMPRESSED * 8_000 / case.point),
        Work::RoundTrips(|_| 1),
    ]),
    proof: Proof { resources: Resources::System, max_size: 8 },
    servers: &[Program::Nginx],
    prepare,
    ..Pair::DEFAULTS
};

/// A document, and the bandwidth of the link that it is sent over.
#[derive(Clone, Debug)]
struct Document {
    megabits: u64,
    name: String,
    content: String,
}

/// An order, as a program interface shows it.
#[derive(Serialize)]
struct Order {
    id: u64,
    customer_id: u64,
    /// In seconds since 1970.
    placed_at: u64,
    status: &'static str,
    currency: &'static str,
    lines: Vec<Line>,
    note: String,
}

#[derive(Serialize)]
struct Line {
    product_id: u64,
    quantity: u64,
    price_cents: u64,
}

/// The server compresses nothing.
async fn naive(client: &Client, name: &str) -> io::Result<String> {
    request(client, &format!("/plain/{name}")).await
}

/// The server compresses what it sends.
async fn optimized(client: &Client, name: &str) -> io::Result<String> {
    request(client, &format!("/gzip/{name}")).await
}

/// The server sends what has been compressed before.
async fn ahead(client: &Client, name: &str) -> io::Result<String> {
    request(client, &format!("/ahead/{name}")).await
}

/// Makes one request, and decompresses the answer if it is compressed.
async fn request(client: &Client, path: &str) -> io::Result<String> {
    let answer = client.send(path, &[("accept-encoding", "gzip")]).await?;
    if answer.status() != StatusCode::OK {
        return Err(io::Error::other(format!("GET {path}: {}", answer.status())));
    }
    match answer.headers().get(CONTENT_ENCODING) {
        Some(_) => {
            let mut document = String::new();
            GzDecoder::new(&answer.body()[..]).read_to_string(&mut document)?;
            Ok(document)
        }
        None => String::from_utf8(answer.into_body().into()).map_err(io::Error::other),
    }
}

/// What a server has of its documents at each side's path.
const LOCATIONS: &str = "
    types { application/json json; }
    location /plain/ { alias documents/; }
    location /gzip/ { alias documents/; gzip on; gzip_types application/json; }
    location /ahead/ { alias documents/; gzip_static on; }";

/// Starts a server of these documents, each of which it also has compressed.
fn server<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Result<Nginx, Unavailable> {
    let server = nginx::start(|port| format!("server {{ listen 127.0.0.1:{port}; {LOCATIONS} }}"))?;
    let folder = server.folder().join("documents");
    let written = fs::create_dir(&folder).and_then(|()| {
        documents.into_iter().try_for_each(|Document { name, content, .. }| {
            fs::write(folder.join(name), content)?;
            fs::write(folder.join(format!("{name}.gz")), compressed(content))
        })
    });
    written.map_err(|error| Unavailable(format!("cannot write documents: {error}")))?;
    Ok(server)
}

/// Compresses as well as gzip can.
fn compressed(content: &str) -> Vec<u8> {
    let mut compressor = GzEncoder::new(Vec::new(), Compression::best());
    compressor.write_all(content.as_bytes()).expect("memory takes all");
    compressor.finish().expect("memory takes all")
}

fn document(case: &Case) -> Document {
    let mut rng = case.rng("document");
    let order = |value: u64| {
        let mut line = |_| Line {
            product_id: rng.random_range(1..2_000),
            quantity: rng.random_range(1..4),
            price_cents: 99 + 100 * rng.random_range(4..200),
        };
        let lines = (0..value % 4 + 1).map(&mut line).collect();
        let note_bytes = if value.is_multiple_of(3) { rng.random_range(10..80) } else { 0 };
        Order {
            id: value % 10_000_000,
            customer_id: rng.random_range(1..50_000),
            placed_at: OPENED_AT + rng.random_range(0..3_000_000),
            status: ["paid", "shipped", "delivered", "returned"][rng.random_range(0..4)],
            currency: "EUR",
            lines,
            note: text::english(note_bytes, &mut rng),
        }
    };
    let orders: Vec<Order> = case.values(case.items(ORDERS)).into_iter().map(order).collect();
    let content = serde_json::to_string(&orders).expect("orders are plain data");
    Document { megabits: case.point, name: format!("{}.json", case.turn), content }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let documents = case.rotate(DOCUMENTS, document);
    let server = server(documents.iter())?;
    let link = Link::to(server.address().to_string(), case.point, causes::exclude_thread);
    let link = link.map_err(|error| Unavailable(format!("cannot listen on loopback: {error}")))?;
    let (runtime, site) = (runtime()?, Arc::new((link, server)));
    let trial = Trial::new(
        documents.measured(|document| document.megabits),
        over(&runtime, &documents, &site, async |client, name| naive(client, name).await)?,
        over(&runtime, &documents, &site, async |client, name| optimized(client, name).await)?,
    );
    Ok(trial.alternative(over(&runtime, &documents, &site, async |client, name| {
        ahead(client, name).await
    })?))
}

/// The side with each document over the link, and the link's count of its bytes.
fn over(
    runtime: &Arc<Runtime>,
    documents: &Inputs<Document>,
    site: &Arc<(Link, Nginx)>,
    side: impl AsyncFn(&Client, &str) -> io::Result<String> + 'static,
) -> Result<impl Runner + 'static, Unavailable> {
    let client = runtime.block_on(Client::connect(site.0.address(), 1))?;
    let get = Arc::new(async move |document: &Document| {
        side(&client, &document.name).await.expect("the server has the document")
    });
    let (again, counting, counted) = (Arc::clone(&get), Arc::clone(runtime), documents.clone());
    let site = Arc::clone(site);
    let runner =
        asynchronous(runtime, documents, async move |document: &Document| get(document).await);
    Ok(runner.counting(BYTES_SENT, move |input| {
        let before = site.0.bytes();
        counting.block_on(again(&counted[input]));
        site.0.bytes() - before
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "http_compression") {
            return;
        }
        let document = |name: &str, content: &str| Document {
            megabits: 1_000,
            name: name.to_owned(),
            content: content.to_owned(),
        };
        let documents = [document("a.json", "[]"), document("b.json", &"[1, \"é\"], ".repeat(999))];
        let server = server(&documents).unwrap();
        runtime().unwrap().block_on(async {
            let client = Client::connect(server.address(), 1).await.unwrap();
            for Document { name, content, .. } in &documents {
                assert_eq!(&naive(&client, name).await.unwrap(), content);
                assert_eq!(&optimized(&client, name).await.unwrap(), content);
                assert_eq!(&ahead(&client, name).await.unwrap(), content);
            }
            assert!(optimized(&client, "c.json").await.is_err());
            // A client that does not offer to take it gets it plain.
            let plain = client.get("/gzip/b.json").await.unwrap();
            assert_eq!(plain, documents[1].content);
            let gzip = client.send("/gzip/b.json", &[("accept-encoding", "gzip")]).await.unwrap();
            assert!(gzip.body().len() < plain.len() / 4);
        });
    }
}
