# To source. Sets `library_tests` to the tests of the library, as arguments of `cargo test`. No loop
# runs in `docs`. `examples` and `file_server` test processes; the server of `file_server_fuzz` runs
# in the test.
library_tests=(--lib)
for test in tests/*.rs tests/*/main.rs; do
  test=${test%/main.rs}
  test=$(basename "$test" .rs)
  case $test in
    docs | examples | file_server) ;;
    *) library_tests+=(--test "$test") ;;
  esac
done

# Takes one test out of `library_tests`.
without() { # TEST
  local i
  for i in "${!library_tests[@]}"; do
    [ "${library_tests[i]}" != "$1" ] || unset "library_tests[i-1]" "library_tests[i]"
  done
}
