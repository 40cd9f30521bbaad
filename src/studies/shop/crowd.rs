//! The customers of a sale: each with a connection that is kept, asking now and then.

use std::{
    cell::RefCell,
    io,
    net::Ipv4Addr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use futures_util::{StreamExt, stream};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::sleep};

use super::{
    browser::{Browser, Idle, NO_CONNECTION, NoAnswer, PATIENCE, Places},
    premises::Premises,
    server::STUDY,
    warehouse::Size,
    wire::{Answer, Ask, Session},
};
use crate::fixtures::zipf::Zipf;
use worthit_pair::{
    helper::{self, Control, Helper},
    pair::Unavailable,
    trial::{Answered, Loads, Part, at_leisure},
};

/// Customers of one process, which may hold some 20,000 descriptors at most on many systems.
const OF_A_PROCESS: u64 = 12_000;
/// Connections that a process opens at once.
const AT_ONCE: usize = 128;

/// Customers that one generator has.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Crowd {
    places: Places,
    /// The first one, and how many.
    first: u64,
    users: u64,
    /// The end of the log when the step began.
    since: u64,
    products: u64,
    categories: u64,
}

/// Sends loads. What customers ask for depends on the seed of each.
struct Seeded<L> {
    loads: L,
    rng: Rc<RefCell<ChaCha8Rng>>,
}

impl<L: Loads> Loads for Seeded<L> {
    fn parts(&mut self, rate: f64, requests: u64, seed: u64) -> Result<Vec<Part>, Unavailable> {
        self.rng.replace(asks(seed));
        self.loads.parts(rate, requests, seed)
    }
}

/// Returns what draws the requests of a load. The first stream of its seed draws when they are due.
fn asks(seed: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1);
    rng
}

/// Returns what sends requests of these customers. All open their connections before the first load, and keep them. Every
/// request of a customer without a connection fails.
fn loads(crowd: Crowd) -> impl Loads {
    let rng = Rc::new(RefCell::new(asks(0)));
    let drawn = Rc::clone(&rng);
    let loads = at_leisure(async move || {
        let idle = Idle::default();
        let browser = |user| {
            let session = Session { customer: crowd.first + user, seen: crowd.since };
            Browser::new(crowd.places, session, &idle)
        };
        let browsers = Arc::new(open((0..crowd.users).map(browser)).await);
        let size =
            Size { products: crowd.products, categories: crowd.categories, stock: 0, customers: 0 };
        let zipf = Zipf::new(crowd.categories as usize, 4);
        Ok(move |_| {
            let mut rng = drawn.borrow_mut();
            let user = rng.random_range(0..crowd.users) as usize;
            let ask = draw(&mut rng, &zipf, size, crowd.places.edition);
            let browsers = Arc::clone(&browsers);
            async move {
                let Some(browser) = &browsers[user] else {
                    // This customer waits in vain.
                    sleep(PATIENCE).await;
                    return Answered::Failed(NO_CONNECTION);
                };
                let mut browser = browser.lock().await;
                request(&mut browser, ask)
                    .await
                    .unwrap_or_else(|NoAnswer(kind)| Answered::Failed(kind))
            }
        })
    });
    Seeded { loads, rng }
}

/// Opens the connections of all. A customer who gets none has no browser. Once many have failed to connect, the rest do not
/// try.
async fn open(browsers: impl Iterator<Item = Browser>) -> Vec<Option<Mutex<Browser>>> {
    let without = &AtomicUsize::new(0);
    let all = stream::iter(browsers).map(|mut browser| async move {
        let is_in = without.load(Relaxed) < AT_ONCE && browser.connect().await.is_ok();
        without.fetch_add(usize::from(!is_in), Relaxed);
        is_in.then(|| Mutex::new(browser))
    });
    all.buffered(AT_ONCE).collect().await
}

/// Draws what somebody asks for: mostly pages and pictures.
fn draw(rng: &mut ChaCha8Rng, zipf: &Zipf, size: Size, edition: u64) -> Ask {
    let category = 1 + zipf.sample(rng) as u64;
    let product = size.product_of(category, rng.random_range(0..size.products));
    match rng.random_range(0..100) {
        0..60 => Ask::Page(category),
        60..90 => Ask::Image { edition, product },
        90..95 => Ask::Add { product, quantity: 1 },
        95..97 => Ask::Basket,
        _ => Ask::Checkout,
    }
}

/// Makes one request, and looks whether the answer is right. After a checkout the customer loads the list of orders, as a
/// browser does after a form.
async fn request(browser: &mut Browser, ask: Ask) -> Result<Answered, NoAnswer> {
    let answer = browser.ask(ask).await?;
    let text = String::from_utf8_lossy(&answer.body);
    let is_right = match (ask, answer.status) {
        (_, 503) => return Ok(Answered::Failed("status 503")),
        (_, 502 | 504) => return Ok(Answered::Failed("status 502 or 504")),
        (Ask::Page(category), 200) => is_page(&answer, category),
        (Ask::Image { .. }, 200) => answer.is_lasting && !answer.body.is_empty(),
        (Ask::Add { .. }, 200) => text.starts_with("In your basket: "),
        (Ask::Basket, 200) => text.starts_with("Your basket"),
        (Ask::Orders, 200) => text.starts_with("Your orders"),
        (Ask::Checkout, 200) => match text.strip_prefix("Thank you for order #") {
            Some(order) => {
                let orders = browser.ask(Ask::Orders).await?;
                String::from_utf8_lossy(&orders.body).contains(&format!("Order #{order}: "))
            }
            None => false,
        },
        // The basket was empty, or something is sold out.
        (Ask::Checkout, 409) => true,
        _ => false,
    };
    Ok(is_right.into())
}

fn is_page(answer: &Answer, category: u64) -> bool {
    let begin = format!("<!doctype html><title>Category {category}</title>");
    answer.body.starts_with(begin.as_bytes()) && answer.body.ends_with(b"</html>\n")
}

/// What a process does that has customers: it sends loads whenever it is told to.
pub fn send(crowd: &str, control: &mut Control) {
    let crowd: Crowd = match serde_json::from_str(crowd) {
        Ok(crowd) => crowd,
        Err(error) => return control.tell(&error.to_string()),
    };
    let mut loads = loads(crowd);
    while let Some(load) = control.hear() {
        let sent: Result<Vec<Part>, String> = serde_json::from_str(&load)
            .map_err(|error| error.to_string())
            .and_then(|(rate, requests, seed)| {
                loads.parts(rate, requests, seed).map_err(|Unavailable(reason)| reason)
            });
        let sent = serde_json::to_string(&sent).unwrap_or_else(|error| error.to_string());
        control.tell(&sent);
    }
    // Its connections end with it.
    std::process::exit(0);
}

/// Customers of one generator.
enum Group {
    Here(Box<dyn Loads>),
    There(Box<Helper>),
}

impl Group {
    fn start(crowd: Crowd, is_process: bool) -> Result<Group, Unavailable> {
        if !is_process {
            return Ok(Group::Here(Box::new(loads(crowd))));
        }
        let mut helper = helper::start(STUDY)?;
        let text = serde_json::to_string(&crowd).map_err(|error| lost(&error))?;
        helper.tell(&format!("users {text}")).map_err(|error| lost(&error))?;
        Ok(Group::There(Box::new(helper)))
    }

    /// Begins to send a load, if it is another process that sends it.
    fn begin(&mut self, load: (f64, u64, u64)) -> io::Result<()> {
        match self {
            Group::Here(_) => Ok(()),
            Group::There(helper) => helper.tell(&serde_json::to_string(&load)?),
        }
    }

    /// Sends it, or waits until it is sent.
    fn finish(
        &mut self,
        (rate, requests, seed): (f64, u64, u64),
    ) -> Result<Vec<Part>, Unavailable> {
        match self {
            Group::Here(loads) => loads.parts(rate, requests, seed),
            Group::There(helper) => {
                let said = helper.hear().map_err(|error| lost(&error))?;
                let sent: Result<Vec<Part>, String> =
                    serde_json::from_str(&said).map_err(|error| lost(&error))?;
                sent.map_err(Unavailable)
            }
        }
    }
}

fn lost(error: &dyn std::fmt::Display) -> Unavailable {
    Unavailable(format!("a process with customers: {error}"))
}

/// Loads of all customers of a step.
pub struct Customers {
    premises: Rc<RefCell<Premises>>,
    step: usize,
    /// The turn of the step in which they connected.
    turn: u64,
    groups: Vec<Group>,
}

impl Customers {
    pub fn of(premises: &Rc<RefCell<Premises>>, step: usize) -> Customers {
        Customers { premises: Rc::clone(premises), step, turn: 0, groups: Vec::new() }
    }

    /// Opens the connections of all, unless they are open.
    fn connect(&mut self) -> Result<(), Unavailable> {
        let premises = Rc::clone(&self.premises);
        let premises = &mut *premises.borrow_mut();
        let (size, has_processes) = (premises.warehouse.size, premises.manner().has_processes);
        let running = premises.at(self.step)?;
        if self.turn == running.turn {
            return Ok(());
        }
        // As many customers as threads are to come.
        running.browser.leave();
        let groups = if has_processes { size.customers.div_ceil(OF_A_PROCESS) } else { 1 };
        let group = |place: u64| {
            let first = size.customers * place / groups;
            let crowd = Crowd {
                // 127.0.0.1 is where servers connect from.
                places: Places {
                    from: Ipv4Addr::new(127, 0, 0, 2 + place as u8),
                    ..running.places
                },
                first: 1 + first,
                users: size.customers * (place + 1) / groups - first,
                since: running.since,
                products: size.products,
                categories: size.categories,
            };
            Group::start(crowd, has_processes)
        };
        self.groups = (0..groups).map(group).collect::<Result<_, _>>()?;
        self.turn = running.turn;
        // A load of nothing opens the connections.
        self.send_all(1.0, 0, 0).map(drop)
    }

    fn send_all(&mut self, rate: f64, requests: u64, seed: u64) -> Result<Vec<Part>, Unavailable> {
        let groups = self.groups.len() as u64;
        let load = |place: u64| {
            let share = requests * (place + 1) / groups - requests * place / groups;
            (rate / groups as f64, share, seed.wrapping_add(place))
        };
        for (place, group) in (0..).zip(&mut self.groups) {
            group.begin(load(place)).map_err(|error| lost(&error))?;
        }
        let mut parts = Vec::new();
        for (place, group) in (0..).zip(&mut self.groups) {
            parts.extend(group.finish(load(place))?);
        }
        Ok(parts)
    }
}

impl Loads for Customers {
    fn parts(&mut self, rate: f64, requests: u64, seed: u64) -> Result<Vec<Part>, Unavailable> {
        self.connect()?;
        self.send_all(rate, requests, seed)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_customer_without_a_connection_has_no_browser() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let open_at = |address| {
            let places =
                Places { shop: address, images: address, edition: 0, from: Ipv4Addr::LOCALHOST };
            let session = Session { customer: 1, seen: 0 };
            let browsers = (0..3).map(|_| Browser::new(places, session, &Idle::default()));
            runtime.block_on(open(browsers.collect::<Vec<_>>().into_iter()))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(open_at(address).iter().all(Option::is_some));
        drop(listener);
        assert!(open_at(address).iter().all(Option::is_none));
    }
}
