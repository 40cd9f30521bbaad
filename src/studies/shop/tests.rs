//! Tests of the shop.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{application::Shop, browser::Browser, plan::Fixes, *};
use worthit_pair::proof::has_servers;

/// A small shop whose provider answers after `delays` times its delays.
fn small(delays: f64) -> Option<Warehouse> {
    if !has_servers(STUDY.servers, "studies/shop") {
        return None;
    }
    let size = Size { products: 8, categories: 2, stock: 10, customers: 0 };
    let case = Case { proof_size: Some(8), ..Case::realistic(2, 0, 1) };
    Some(Warehouse::open(&case, size, delays).unwrap())
}

/// The application as it grew, and with all fixes.
fn ends() -> Vec<Applied> {
    let mut steps = Applied::steps(STUDY.fixes);
    vec![steps.remove(0), steps.pop().unwrap()]
}

fn add(product: u64, quantity: u64) -> Ask {
    Ask::Add { product, quantity }
}

#[test]
fn known_answers() {
    let Some(warehouse) = small(DELAYS_IN_PROOFS) else { return };
    let steps = ends();
    let premises = Rc::new(RefCell::new(Premises::new(warehouse, &steps, PROOF)));
    for step in 0..steps.len() {
        let mut customer = Customer::new(&premises, step, true);
        let mut outcome = |visit: &[Ask]| {
            customer.reset().unwrap();
            customer.visit(&visit.to_vec());
            customer.outcome()
        };
        let texts = |outcome: &Outcome| -> Vec<(u16, String)> {
            outcome.shown.iter().map(|shown| (shown.status, shown.text.clone())).collect()
        };
        let said = |status: u16, text: &str| (status, text.to_owned());

        let nothing = outcome(&[Ask::Checkout, Ask::Orders, add(99, 1), add(1, 0), Ask::Page(9)]);
        assert_eq!(
            texts(&nothing),
            [
                said(409, "Your basket is empty."),
                said(200, "Your orders\n"),
                said(404, "There is no such product, or number of it."),
                said(404, "There is no such product, or number of it."),
                said(404, "There is no such category."),
            ]
        );
        assert_eq!((nothing.sold.len(), nothing.orders.len(), nothing.baskets.len()), (0, 0, 0));

        // More than there is: nothing of the basket is sold.
        let refused = outcome(&[add(3, 2), add(5, 11), Ask::Checkout]);
        assert_eq!(refused.shown[2], Shown { status: 409, text: "Sold out: product 5".to_owned() });
        assert_eq!((refused.sold.len(), refused.orders.len()), (0, 0));
        assert_eq!(refused.baskets, [(3, 2), (5, 11)]);

        let image = Ask::Image { edition: 0, product: 3 };
        let bought = outcome(&[
            Ask::Page(2),
            image,
            image,
            add(3, 2),
            add(3, 1),
            Ask::Basket,
            Ask::Checkout,
            Ask::Page(2),
            Ask::Orders,
            Ask::Image { edition: 0, product: 99 },
        ]);
        let stock = |shown: &Shown, product: u64| {
            let line =
                shown.text.lines().find(|line| line.starts_with(&format!("<li id={product}>")));
            line.unwrap().split(", ").nth(1).unwrap().to_owned()
        };
        assert_eq!(bought.shown[0].text.matches("<li").count(), 4);
        assert_eq!(stock(&bought.shown[0], 3), "10 in stock");
        assert_eq!(stock(&bought.shown[7], 3), "7 in stock", "what he has bought himself");
        assert!(bought.shown[0].text.contains("2.35 stars of 20: It is as described: "));
        assert_eq!(bought.shown[1], bought.shown[2]);
        assert!(bought.shown[1].text.starts_with("picture "));
        assert_eq!(bought.shown[4].text, "In your basket: 3");
        assert_eq!(bought.shown[6].text, "Thank you for order #");
        assert!(bought.shown[8].text.starts_with("Your orders\nOrder #: 3 x Product "));
        assert_eq!(bought.shown[9].status, 404);
        assert_eq!((bought.sold.as_slice(), bought.baskets.len()), ([(3, 3)].as_slice(), 0));
        assert_eq!(bought.orders.len(), 1);
        assert_eq!(bought.orders[0].lines, [(3, 3)]);
        let mail = "Dear customer 1000000, we have your order # of 3 items.";
        assert_eq!(bought.orders[0].mail, mail);
        assert!(bought.found() > 0);
    }
}

#[test]
fn each_fix_takes_away_its_cause() {
    let Some(warehouse) = small(DELAYS_IN_PROOFS) else { return };
    let steps = Applied::steps(STUDY.fixes);
    let manner = Manner { scale: Scale { is_warm: true, threads: 100, ..PROOF.scale }, ..PROOF };
    let premises = Rc::new(RefCell::new(Premises::new(warehouse, &steps, manner)));
    let mut counts = Vec::new();
    for step in 0..steps.len() {
        let mut customer = Customer::new(&premises, step, false);
        let mut of = |visit: &[Ask]| {
            customer.reset().unwrap();
            let before = premises.borrow_mut().counts().unwrap();
            customer.visit(&visit.to_vec());
            let after = premises.borrow_mut().counts().unwrap();
            std::array::from_fn::<u64, 3, _>(|count| after[count] - before[count])
        };
        let look = [Ask::Page(2), Ask::Image { edition: 0, product: 3 }];
        let looked = of(&look);
        assert_eq!(looked, of(&look), "each request costs the same");
        let bought = of(&[add(3, 1), Ask::Checkout]);
        counts.push((looked, bought));
    }
    // Statements, files, mails waited for: of a page with its picture, and of buying one product.
    let expected = [
        ([1, 1, 0], [8, 0, 1]),
        ([1, 1, 0], [8, 0, 1]),
        ([0, 1, 0], [9, 0, 1]),
        ([0, 0, 0], [9, 0, 1]),
        ([0, 0, 0], [11, 0, 0]),
        ([0, 0, 0], [11, 0, 0]),
        ([0, 0, 0], [11, 0, 0]),
    ];
    assert_eq!(counts, expected);
}

#[test]
fn many_checkouts_at_once_sell_what_there_is_and_no_more() {
    let Some(warehouse) = small(DELAYS_IN_PROOFS) else { return };
    let runtime = Arc::clone(&warehouse.database.runtime);
    let steps = Applied::steps(STUDY.fixes);
    // Each of the customers holds a thread.
    let manner = Manner { scale: Scale { threads: 100, ..PROOF.scale }, ..PROOF };
    let mut premises = Premises::new(warehouse, &steps, manner);
    for step in 0..steps.len() {
        let running = premises.at(step).unwrap();
        let idle = Default::default();
        let browser = |customer| {
            Browser::new(running.places, Session { customer, seen: running.since }, &idle)
        };
        let mut browsers: Vec<Browser> = (1..=64).map(browser).collect();
        let told = runtime.block_on(async {
            join_all(browsers.iter_mut().map(async |browser| {
                assert_eq!(browser.ask(add(5, 1)).await.unwrap().status, 200);
            }))
            .await;
            join_all(browsers.iter_mut().map(async |browser| {
                let answer = browser.ask(Ask::Checkout).await.unwrap();
                if answer.status == 200 {
                    // He sees what he has bought, wherever his page is made.
                    let page = browser.ask(Ask::Page(2)).await.unwrap();
                    let page = String::from_utf8_lossy(&page.body).into_owned();
                    assert!(!line(&page).contains(" 10 in stock"), "{page}");
                }
                (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
            }))
            .await
        });
        let ids: Vec<i64> = told
            .iter()
            .filter_map(|(status, text)| {
                let id = text.strip_prefix("Thank you for order #");
                assert_eq!(*status, if id.is_some() { 200 } else { 409 }, "{text}");
                id.map(|id| id.parse().unwrap())
            })
            .collect();
        let mut ids = ids;
        ids.sort_unstable();
        assert_eq!(ids.len(), 10, "step {step}");
        assert_eq!(
            premises.warehouse.order_ids().unwrap(),
            ids,
            "every order that somebody was told of"
        );
        assert_eq!(premises.warehouse.sold(), [(5, 10)]);
        assert_eq!(premises.warehouse.orders().unwrap().len(), 10, "each with its mail");
    }
    let (taken, arrived) = premises.warehouse.provider.arrived(0).unwrap();
    assert_eq!((taken, arrived), (10 * steps.len(), 10 * steps.len() as u32), "one mail an order");
}

#[test]
fn a_page_that_is_too_old_is_made_anew() {
    let Some(warehouse) = small(DELAYS_IN_PROOFS) else { return };
    let premises = Premises::new(warehouse, &ends(), PROOF);
    let warehouse = &premises.warehouse;
    let plan = premises.plan(Fixes { cache: true, ..Fixes::default() }, 0);
    let runtime = Arc::clone(&warehouse.database.runtime);
    let shop = runtime.block_on(Shop::open(plan)).unwrap();
    let page = || {
        let answer = runtime.block_on(shop.answer(Some(Ask::Page(2)), Session::default()));
        line(&String::from_utf8_lossy(&answer.body)).to_owned()
    };
    assert!(page().contains(" 10 in stock"));
    warehouse.database.execute("UPDATE products SET stock = 7").unwrap();
    let pages = shop.pages.as_ref().unwrap();
    for _ in 0..9 {
        assert!(page().contains(" 10 in stock"), "it is kept");
        pages.grow_older();
    }
    pages.grow_older();
    assert!(page().contains(" 7 in stock"));
}

/// The line of product 5.
fn line(page: &str) -> &str {
    let line = page.lines().find(|line| line.starts_with("<li id=5>"));
    line.unwrap_or_else(|| panic!("product 5 is missing: {page}"))
}

#[test]
fn a_mail_whose_worker_dies_before_it_is_answered_arrives_again_and_counts_once() {
    // The provider answers after minutes: long after the worker has died.
    let Some(warehouse) = small(1_000.0) else { return };
    let mut premises = Premises::new(warehouse, &ends(), PROOF);
    let runtime = Arc::clone(&premises.warehouse.database.runtime);
    let running = premises.at(1).unwrap();
    let answer = runtime.block_on(async {
        running.browser.ask(add(3, 1)).await.unwrap();
        running.browser.ask(Ask::Checkout).await.unwrap()
    });
    assert_eq!(answer.status, 200);
    assert_eq!(premises.warehouse.provider.arrived(1).unwrap(), (1, 1));
    premises.warehouse.start_worker().unwrap();
    assert_eq!(premises.warehouse.provider.arrived(2).unwrap(), (1, 2));
    assert_eq!(premises.warehouse.orders().unwrap().len(), 1);
}

#[test]
fn customers_of_a_sale_are_answered_at_each_step() {
    if !has_servers(STUDY.servers, "studies/shop") {
        return;
    }
    let case = Case { proof_size: Some(40), ..Case::realistic(2, 0, 42) };
    let size = Size { customers: 60, stock: 50, ..Size::of(&case) };
    let warehouse = Warehouse::open(&case, size, 0.1).unwrap();
    let steps = Applied::steps(STUDY.fixes);
    let manner = Manner { scale: Scale { is_warm: true, threads: 100, ..PROOF.scale }, ..PROOF };
    let mut application = application(&case, &steps, warehouse, manner).unwrap();
    for step in 0..steps.len() {
        let role = study::role(step, steps.len());
        let load = application.trial.send(role, 200.0, 100, 1).unwrap().unwrap();
        assert_eq!((load.requests, load.failures.len()), (100, 0), "step {step}: {load:?}");
        assert!((application.memory.as_ref().unwrap())(step) > 0);
        application.trial.end_loads(role);
    }
}
