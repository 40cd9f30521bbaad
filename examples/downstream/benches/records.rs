fn main() {
    worthit_harness::bench::run(&pairs::records::FAMILY, &pairs::CATALOGUE);
}
