//! The studies: applications that were slow, and what made them fast.

worthit_pair::studies! {
    "studies": "Make an application fast, one fix after the other";
    bank,
    shop,
    timeline,
}
