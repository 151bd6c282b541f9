#!/usr/bin/env bash
# The example file_server and the clients that people use: git, rclone, aria2 and curl get every byte. Takes some seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
for program in git rclone aria2c curl; do
  command -v "$program" >/dev/null || { echo "$program is needed: apt-get install git rclone aria2 curl" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cargo build --quiet --locked --release --example file_server
# No configuration of the user counts.
export HOME=$work GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 RCLONE_CONFIG=$work/rclone.conf
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY

fail() { echo "clients: $*" >&2; cat "$work/err" >&2; exit 1; }
run() { timeout 60 "$@" >"$work/printed" 2>"$work/said" || { cat "$work/said" >&2; fail "$* failed"; }; }
same() { diff -r "$1" "$2" >&2 || fail "$3 got other bytes"; echo "$3: every byte"; }

root=$work/root
mkdir -p "$root/tree/a folder/deeper" "$root/many"
head -c 20000000 /dev/urandom >"$root/large"
for name in 'a b' 'per%cent' 'hash#tag' 'quest?ion' 'co:lon' 'ümlaut' "quo'te" '&amp;' 'a folder/inner' 'a folder/deeper/last'; do
  head -c 30000 /dev/urandom >"$root/tree/$name"
done
# Listings used to be cut at 4,096 entries.
(cd "$root/many" && seq 5000 | xargs touch)

source=$work/source
run git init --quiet --initial-branch=main "$source"
commit() { run git -C "$source" -c user.name=n -c user.email=e@example.org commit --quiet --message "$1"; }
for number in 1 2 3; do
  head -c 100000 /dev/urandom >"$source/file $number"
  run git -C "$source" add .
  commit "$number"
done
run git clone --quiet --bare "$source" "$root/repository.git"
# One object stays outside of the pack.
run git -C "$root/repository.git" repack -a -d
echo loose >"$source/loose"
run git -C "$source" add .
commit loose
run git -C "$source" push --quiet "$root/repository.git" main
run git -C "$root/repository.git" update-server-info

target/release/examples/file_server "$root" --addr 127.0.0.1:0 --log off >"$work/out" 2>"$work/err" &
server=$!
for _ in $(seq 200); do [ -s "$work/out" ] && break; sleep 0.05; done
url=$(sed -n '1s/^listening on //p' "$work/out")

run git clone --quiet "$url/repository.git" "$work/clone"
run git -C "$work/clone" fsck --strict
[ "$(git -C "$work/clone" rev-parse main)" = "$(git -C "$source" rev-parse main)" ] || fail "git got another commit"
rm -rf "$work/clone/.git" "$source/.git"
same "$source" "$work/clone" "git clone of a bare repository"

remote=(--http-url "$url/" --retries 1 --low-level-retries 1)
run rclone lsf --recursive --files-only "${remote[@]}" :http:tree
(cd "$root/tree" && find . -type f -printf '%P\n') | LC_ALL=C sort >"$work/expected"
LC_ALL=C sort "$work/printed" >"$work/listed"
same "$work/expected" "$work/listed" "rclone lsf"
run rclone copy "${remote[@]}" :http:tree "$work/tree"
same "$root/tree" "$work/tree" "rclone copy"
run rclone lsf "${remote[@]}" :http:many
[ "$(wc -l <"$work/printed")" = 5000 ] || fail "rclone listed $(wc -l <"$work/printed") of 5000 files"

sum=$(sha256sum <"$root/large")
run aria2c --quiet --no-conf -x8 -s8 -k1M --checksum="sha-256=${sum%% *}" --dir "$work" --out parts "$url/large"
same "$root/large" "$work/parts" "aria2c over 8 connections"

get=(curl --silent --show-error --fail --max-time 60)
run "${get[@]}" --range 1000000-1999999 --output "$work/range" "$url/large"
dd if="$root/large" of="$work/part" bs=1000000 skip=1 count=1 status=none
same "$work/part" "$work/range" "curl of a range"
head -c 7654321 "$root/large" >"$work/resumed"
run "${get[@]}" --continue-at - --output "$work/resumed" "$url/large"
same "$root/large" "$work/resumed" "curl that resumes"
tag=$("${get[@]}" --head "$url/large" | tr -d '\r' | sed -n 's/^ETag: //Ip')
status() { "${get[@]}" --range 0-9 --header "If-Range: $1" --output /dev/null --write-out '%{http_code}' "$url/large"; }
[ -n "$tag" ] && [ "$(status "$tag")" = 206 ] || fail "If-Range with the tag got no part"
# A change ends the resuming: the server sends the whole file.
printf x >>"$root/large"
[ "$(status "$tag")" = 200 ] || fail "If-Range with an old tag got a part"
echo "curl with If-Range: a part of the same version only"

kill -TERM "$server"
wait "$server" || fail "the server ended badly"
