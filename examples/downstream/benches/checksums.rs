fn main() {
    worthit_harness::bench::run(&pairs::checksums::FAMILY, &pairs::CATALOGUE);
}
