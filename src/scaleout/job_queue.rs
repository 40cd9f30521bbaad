//! Leave slow side work to a worker: the request puts a job into a queue of RabbitMQ.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use amqprs::channel::{BasicAckArguments, Channel, ConsumerMessage};
use futures_util::future::join_all;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, Semaphore},
    time::sleep,
};

use crate::fixtures::queue::{Broker, Publisher, Queue, Unconfirmed};
use worthit_pair::{prelude::*, trial::Loads};

/// Requests that the program works on at once, and jobs that the worker does at once.
const SLOTS: u16 = 8;
/// Time that the provider takes for an e-mail: it is simulated.
const PROVIDER: Duration = Duration::from_millis(10);

/// Orders a second of open-loop loads: three in four of those that the worker can do.
const RATE: u64 = 600;

const IN_REQUESTS: Cause = Cause::new("emails_in_requests", "e-mails sent by requests")
    .counted("and the provider counts who sends");

pub const PAIR: Pair = Pair {
    title: "Leave side work to a job queue",
    review: Review {
        smell: "The handler of a request awaits what the answer does not need: an e-mail, a webhook, a thumbnail.",
        remedy: "`publish` a job to a durable queue, as a persistent message, and answer once the broker has confirmed it. A \
                 worker consumes the queue, does the job, and acknowledges it when it is done: what is not acknowledged is \
                 delivered again. So jobs carry a key, and what is done again under the same key has no further effect.",
        keep_naive_when: "The answer says how the work went, or the work is quicker than the broker. Or losing it at a crash \
                          does no harm: then a task of the process does, the alternative `spawned`.",
        costs: "A broker and a worker to run, with alarms for a queue that grows. The work is done later, and a failure no \
                longer reaches the one who asked. Jobs must bear to be done again. It is no more capacity: the worker needs \
                as long for the jobs as the requests did.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "send the e-mail, then answer",
        growth: Growth::Other("in waves of 8 requests"),
    },
    optimized: Side {
        summary: "publish a job, wait for the confirmation, answer",
        growth: Growth::Other("confirmations come together"),
    },
    input: "A burst of orders at once, in a closed loop: the time until the last one is answered. For each, a provider is to \
            send an e-mail, which takes 10 ms: it is simulated, a wait. The program works on eight requests at once. The \
            worker, here a task of the same process, does eight jobs at once; the time that it needs after the last answer \
            is not measured, and is the same as the naive side's. The provider knows the keys of e-mails that it has sent.",
    axis: Axis {
        name: "requests at once",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[1, 8, 16], deep: &[64] },
    },
    unit: "burst",
    headline: Headline::At { level: "", point: 16 },
    alternatives: &[SideBeside {
        name: "spawned",
        summary: "a task of the process sends the e-mail; a crash loses it",
    }],
    causes: &[Claim {
        cause: IN_REQUESTS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "A request no longer waits for the provider, nor for the requests before it that do. It waits for the broker, \
              which has the message on its disk before it confirms. The e-mails take as long as before, after the answer.",
        share_of_cause: ShareOfCause::NoRatio("no e-mail is left in the requests to divide by"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "two orders under one key",
        reason: "the second e-mail would be taken for a job that was delivered again",
        check: |inputs: &[Vec<Order>]| {
            let same = inputs.iter().find(|burst| {
                burst.iter().map(|order| order.id).collect::<HashSet<_>>().len() < burst.len()
            });
            ensure(same.is_none(), || "two orders of a burst have one key".to_owned())
        },
        sprung: || vec![vec![Order { id: 1, lines: vec![(1, 100)] }; 2]],
    }],
    // A message to the broker, and its confirmation.
    limit: Limit::Work(&[
        Work::RoundTrips(|case| case.point.min(1)),
        Work::Fsyncs(|case| case.point.min(1)),
    ]),
    proof: Proof { resources: Resources::System, max_size: 10 },
    servers: &[Program::RabbitMq],
    under_load: Some(UnderLoad { p99: PROVIDER, rates: Rates::Stated(&[RATE]) }),
    prepare,
    ..Pair::DEFAULTS
};

/// What a customer orders: a number of a thing, and its price.
#[derive(Clone, Debug)]
struct Order {
    id: u64,
    lines: Vec<(u64, u64)>,
}

/// What the customer is told at once.
#[derive(Clone, Debug, PartialEq)]
struct Receipt {
    order: u64,
    cents: u64,
}

impl Found for Receipt {
    fn found(&self) -> u64 {
        1
    }
}

/// An e-mail, and the key under which it is sent once.
#[derive(Debug, Serialize, Deserialize)]
struct Email {
    key: u64,
    text: String,
}

/// Answers an order.
fn receipt(order: &Order) -> (Receipt, Email) {
    let cents = order.lines.iter().map(|(number, cents)| number * cents).sum();
    let text = format!("Thank you for order {}: {} things.", order.id, order.lines.len());
    (Receipt { order: order.id, cents }, Email { key: order.id, text })
}

/// The provider, as far as a program sees it.
#[derive(Default)]
struct Provider {
    sent: Mutex<BTreeMap<u64, String>>,
    /// How often it was asked, also for what it had sent before.
    asked: AtomicU64,
    /// How often a request asked it.
    asked_by_requests: AtomicU64,
    /// Tells that it has sent another one.
    news: Notify,
}

impl Provider {
    /// Sends an e-mail, unless one was sent under its key.
    async fn send(&self, email: Email) {
        sleep(PROVIDER).await;
        self.asked.fetch_add(1, Relaxed);
        self.sent().entry(email.key).or_insert(email.text);
        self.news.notify_one();
    }

    fn sent(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        // A panic cannot leave the map inconsistent.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What requests share.
struct Desk {
    slots: Semaphore,
    provider: Arc<Provider>,
    publisher: Arc<Publisher>,
}

async fn naive(desk: &Arc<Desk>, burst: &[Order]) -> Result<Vec<Receipt>, Unconfirmed> {
    let requests = burst.iter().map(|order| sending(Arc::clone(desk), order.clone()));
    join_all(requests).await.into_iter().collect()
}

async fn optimized(desk: &Arc<Desk>, burst: &[Order]) -> Result<Vec<Receipt>, Unconfirmed> {
    let requests = burst.iter().map(|order| publishing(Arc::clone(desk), order.clone()));
    join_all(requests).await.into_iter().collect()
}

async fn spawned(desk: &Arc<Desk>, burst: &[Order]) -> Result<Vec<Receipt>, Unconfirmed> {
    let requests = burst.iter().map(|order| spawning(Arc::clone(desk), order.clone()));
    join_all(requests).await.into_iter().collect()
}

/// A request that sends the e-mail.
async fn sending(desk: Arc<Desk>, order: Order) -> Result<Receipt, Unconfirmed> {
    let _slot = desk.slots.acquire().await;
    let (receipt, email) = receipt(&order);
    desk.provider.asked_by_requests.fetch_add(1, Relaxed);
    desk.provider.send(email).await;
    Ok(receipt)
}

/// A request that publishes a job.
async fn publishing(desk: Arc<Desk>, order: Order) -> Result<Receipt, Unconfirmed> {
    let _slot = desk.slots.acquire().await;
    let (receipt, email) = receipt(&order);
    let job = serde_json::to_vec(&email).expect("it has no map");
    desk.publisher.publish(job).await?;
    Ok(receipt)
}

/// A request that leaves the e-mail to a task.
async fn spawning(desk: Arc<Desk>, order: Order) -> Result<Receipt, Unconfirmed> {
    let _slot = desk.slots.acquire().await;
    let (receipt, email) = receipt(&order);
    let provider = Arc::clone(&desk.provider);
    tokio::spawn(async move { provider.send(email).await });
    Ok(receipt)
}

/// Does a job, and acknowledges it.
async fn work(channel: Channel, provider: Arc<Provider>, message: ConsumerMessage) {
    let job = message.content.expect("a message has a body");
    provider.send(serde_json::from_slice(&job).expect("it is as it was published")).await;
    let tag = message.deliver.expect("it was delivered").delivery_tag();
    // If the channel is closed, the server delivers the job again.
    let _ = channel.basic_ack(BasicAckArguments::new(tag, false)).await;
}

impl Desk {
    fn new(broker: &Broker) -> Desk {
        let provider = Arc::new(Provider::default());
        Desk { slots: Semaphore::new(SLOTS.into()), provider, publisher: broker.publisher() }
    }
}

/// Starts a worker for the jobs of a queue.
async fn start_worker(broker: &Broker, provider: Arc<Provider>) -> Result<(), Unavailable> {
    let (channel, mut messages) = broker
        .consume(SLOTS)
        .await
        .map_err(|error| Unavailable(format!("RabbitMQ gives no jobs: {error}")))?;
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            tokio::spawn(work(channel.clone(), Arc::clone(&provider), message));
        }
    });
    Ok(())
}

/// A desk, with a worker for its jobs.
struct Office {
    queue: Queue,
    desk: Arc<Desk>,
    receipts: Vec<Receipt>,
}

impl Office {
    fn new(has_worker: bool) -> Result<Office, Unavailable> {
        let queue = Queue::new()?;
        let desk = Desk::new(queue.broker());
        if has_worker {
            let worker = start_worker(queue.broker(), Arc::clone(&desk.provider));
            queue.runtime().block_on(worker)?;
        }
        Ok(Office { queue, desk: Arc::new(desk), receipts: Vec::new() })
    }

    /// Waits until the e-mails of all receipts are sent.
    fn drain(&self) {
        self.queue.runtime().block_on(async {
            while self.desk.provider.sent().len() < self.receipts.len() {
                self.desk.provider.news.notified().await;
            }
        });
    }

    fn reset(&mut self) {
        self.drain();
        self.desk.provider.sent().clear();
        self.receipts.clear();
    }

    /// The receipts and the e-mails of a burst.
    fn outcome(&mut self) -> (Vec<Receipt>, BTreeMap<u64, String>) {
        self.drain();
        (self.receipts.clone(), self.desk.provider.sent().clone())
    }
}

fn burst(case: &Case) -> Vec<Order> {
    let mut rng = case.rng("lines");
    let values = case.values(case.point as usize).into_iter().enumerate();
    let order = |(place, value): (usize, u64)| {
        let lines = (0..rng.random_range(1..=5)).map(|_| (rng.random_range(1..=9), value % 50_000));
        Order { id: (case.turn << 16) + place as u64, lines: lines.collect() }
    };
    values.map(order).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let bursts = case.rotate(6, burst);
    let trial = Trial::new(
        bursts.measured(|burst| burst.len() as u64),
        over(&bursts, async |desk: &Arc<Desk>, burst: &[Order]| naive(desk, burst).await)?,
        over(&bursts, async |desk: &Arc<Desk>, burst: &[Order]| optimized(desk, burst).await)?,
    );
    let side = async |desk: &Arc<Desk>, burst: &[Order]| spawned(desk, burst).await;
    let orders: Arc<[Order]> = bursts[0].clone().into();
    let trial = trial.under_load(loads(&orders, sending), loads(&orders, publishing));
    Ok(trial.alternative(over(&bursts, side)?))
}

/// Open-loop loads of orders like these in turn, with a worker for their jobs.
fn loads<A, F>(orders: &Arc<[Order]>, answer: A) -> impl Loads + use<A, F>
where
    A: Fn(Arc<Desk>, Order) -> F + 'static,
    F: Future<Output = Result<Receipt, Unconfirmed>> + Send + 'static,
{
    let orders = Arc::clone(orders);
    at_rates(async move || {
        let queue = Queue::here().await?;
        let desk = Arc::new(Desk::new(queue.broker()));
        start_worker(queue.broker(), Arc::clone(&desk.provider)).await?;
        Ok(move |id: u64| {
            // It is deleted when the loads are over.
            let _queue = &queue;
            let lines = orders[id as usize % orders.len()].lines.clone();
            let receipt = answer(Arc::clone(&desk), Order { id, lines });
            async move { receipt.await.is_ok_and(|receipt| receipt.order == id) }
        })
    })
}

/// The side with each burst, and the provider's count of those who asked it in a request.
fn over(
    bursts: &Inputs<Vec<Order>>,
    side: impl AsyncFn(&Arc<Desk>, &[Order]) -> Result<Vec<Receipt>, Unconfirmed> + 'static,
) -> Result<impl Runner + 'static, Unavailable> {
    let office = Rc::new(RefCell::new(Office::new(true)?));
    let runtime = office.borrow().queue.runtime();
    let answer = Rc::new(move |office: &RefCell<Office>, burst: &[Order]| {
        let mut office = office.borrow_mut();
        let receipts = runtime.block_on(side(&office.desk, burst));
        office.receipts = receipts.unwrap_or_else(|error| panic!("{error}; run this again"));
    });
    let (counted, again, counted_bursts) = (Rc::clone(&office), Rc::clone(&answer), bursts.clone());
    let runner = changing(
        bursts,
        office,
        |office| office.borrow_mut().reset(),
        move |office, burst| answer(office, burst),
        |office| office.borrow_mut().outcome(),
    );
    Ok(runner.counting(IN_REQUESTS, move |input| {
        counted.borrow_mut().reset();
        let asked = || counted.borrow().desk.provider.asked_by_requests.load(Relaxed);
        let before = asked();
        again(&counted, &counted_bursts[input]);
        asked() - before
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    fn order(id: u64) -> Order {
        Order { id, lines: vec![(2, 150), (1, 5)] }
    }

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "job_queue") {
            return;
        }
        let orders: Vec<Order> = (0..20).map(order).collect();
        let mut office = Office::new(true).unwrap();
        let runtime = office.queue.runtime();
        for place in 0..3 {
            office.reset();
            let receipts = runtime.block_on(async {
                match place {
                    0 => naive(&office.desk, &orders).await,
                    1 => optimized(&office.desk, &orders).await,
                    _ => spawned(&office.desk, &orders).await,
                }
            });
            office.receipts = receipts.unwrap();
            let (receipts, emails) = office.outcome();
            let expected = (0..20).map(|order| Receipt { order, cents: 305 });
            assert!(receipts.into_iter().eq(expected));
            let expected = (0..20).map(|id| (id, format!("Thank you for order {id}: 2 things.")));
            assert!(emails.into_iter().eq(expected));
        }
        assert_eq!(office.desk.provider.asked.load(Relaxed), 60);
        assert_eq!(office.desk.provider.asked_by_requests.load(Relaxed), 20);
    }

    #[test]
    fn trap_a_job_that_is_delivered_again_has_one_effect() {
        if !has_servers(PAIR.servers, "job_queue") {
            return;
        }
        let office = Office::new(false).unwrap();
        let provider = &office.desk.provider;
        office.queue.runtime().block_on(async {
            publishing(Arc::clone(&office.desk), order(7)).await.unwrap();
            // The worker does the job, and ends before it has acknowledged it.
            let (channel, mut messages) = office.queue.broker().consume(SLOTS).await.unwrap();
            let message = messages.recv().await.unwrap();
            assert!(!message.deliver.as_ref().unwrap().redelivered());
            provider.send(serde_json::from_slice(&message.content.unwrap()).unwrap()).await;
            channel.close().await.unwrap();
            let (channel, mut messages) = office.queue.broker().consume(SLOTS).await.unwrap();
            let message = messages.recv().await.unwrap();
            assert!(message.deliver.as_ref().unwrap().redelivered());
            work(channel, Arc::clone(provider), message).await;
        });
        assert_eq!(provider.asked.load(Relaxed), 2);
        let sent = provider.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[&7], "Thank you for order 7: 2 things.");
    }
}
