# Sets `library_tests` to the tests of the library, as arguments of `cargo test`. No loop runs in
# `layers` and `asyncio_page`, and the other three test the examples, which are programs of their own.
library_tests=(--lib)
for test in tests/*.rs tests/*/main.rs; do
  test=${test%/main.rs}
  test=$(basename "$test" .rs)
  case $test in
    layers | asyncio_page | examples | file_server | file_server_index) ;;
    *) library_tests+=(--test "$test") ;;
  esac
done
