fn main() {
    worthit::bench::run(&pairs::records::FAMILY);
}
