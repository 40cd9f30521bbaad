fn main() {
    worthit::bench::run(&pairs::checksums::FAMILY);
}
