//! The shop with servers and customers in processes of their own.

use worthit::CATALOGUE;
use worthit_pair::{
    case::Case,
    proof::has_servers,
    study::{self, Applied},
};

/// Customers, and requests a second.
const USERS: u64 = 200;
const RATE: f64 = 40.0;

pub fn a_sale_in_processes() {
    let mut studies = CATALOGUE.iter().flat_map(|family| family.studies);
    let shop = studies.find(|study| study.id == "studies/shop").expect("it is listed");
    if !has_servers(shop.servers, shop.id) {
        return;
    }
    let mut steps = Applied::steps(shop.fixes);
    let ends = [Applied::default(), steps.pop().expect("there are fixes")];
    let mut application = (shop.prepare)(&Case::realistic(shop.size, USERS, 42), &ends).unwrap();
    for step in 0..ends.len() {
        let role = study::role(step, ends.len());
        application.trial.measure(role, 1);
        let before = (application.count)();
        application.trial.measure(role, 1);
        let after = (application.count)();
        // A page that the database makes and a picture from the disk, and neither.
        let counted: Vec<u64> =
            before.iter().zip(&after).map(|(before, after)| after - before).collect();
        assert_eq!(counted[..3], [[1, 1, 0], [0, 0, 0]][step]);
        let load = application.trial.send(role, RATE, 80, 1).unwrap().unwrap();
        assert_eq!((load.requests, load.failed), (80, 0), "{load:?}");
        let memory = (application.memory.as_ref().unwrap())(step);
        assert!(memory > 1 << 20, "{memory}");
        application.trial.end_loads(role);
    }
    drop(application);
    worthit_servers::end_all();
}
