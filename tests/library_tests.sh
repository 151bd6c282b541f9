# Sets `library_tests` to the tests of the library, as arguments of `cargo test`. No loop runs in
# `layers` and `asyncio_page`, and the other three test examples, which run as processes. `file_server_fuzz` is not left out, as
# its server runs in the test.
library_tests=(--lib)
for test in tests/*.rs tests/*/main.rs; do
  test=${test%/main.rs}
  test=$(basename "$test" .rs)
  case $test in
    layers | asyncio_page | examples | file_server | file_server_index) ;;
    *) library_tests+=(--test "$test") ;;
  esac
done
