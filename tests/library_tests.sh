# Sets `library_tests` to the tests of the library, as arguments of `cargo test`. No loop runs in
# `docs`. `examples` and `file_server` test processes; the server of `file_server_fuzz` runs in the
# test.
library_tests=(--lib)
for test in tests/*.rs tests/*/main.rs; do
  test=${test%/main.rs}
  test=$(basename "$test" .rs)
  case $test in
    docs | examples | file_server) ;;
    *) library_tests+=(--test "$test") ;;
  esac
done
