//! The studies: applications that were slow, and what made them fast.
//!
#![cfg_attr(doc, doc = include_str!("../reports/cards/studies.md"))]

worthit_pair::studies! {
    "studies": "Make an application fast, one fix after the other";
    bank,
    shop,
    timeline,
}
