//! The studies: applications that were slow, and what made them fast.

mod bank;

use worthit_pair::study::Study;

/// All studies with their ids, in the order of the report.
pub static STUDIES: [(&str, &Study); 1] = [("studies/bank", &bank::STUDY)];
