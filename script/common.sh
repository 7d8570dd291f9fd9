# Set-up shared by script/start and script/test: preflight, Node 24, system packages, npm packages. Sourced by bash.
# Everything here is skipped within milliseconds when it was done before.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache="$root/.cache"
node_version=24.21.0

say() { printf '\033[1m→ %s\033[0m\n' "$*" >&2; }
die() { printf '\n\033[31mStopped: %s\033[0m\n' "$*" >&2; exit 1; }
# Without a terminal there are no colours.
if [ ! -t 2 ]; then
  say() { printf -- '-> %s\n' "$*" >&2; }
  die() { printf '\nStopped: %s\n' "$*" >&2; exit 1; }
fi

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

preflight() {
  command -v node >/dev/null || die "Node is missing. Install any Node >= 20 (apt-get install nodejs npm); Holdfast brings its own 24."
  command -v npm >/dev/null || die "npm is missing. Install it (apt-get install npm)."
  say "Checking this machine"
  node "$root/script/preflight.mjs" >&2 || die "this machine cannot run Holdfast yet; the lines above say why and what to do."
}

# Node 24 from the npm registry into the checkout's cache, where the machine has less (docs/decisions/001).
ensure_node() {
  case "$(node --version)" in v24.* | v2[5-9].* | v[3-9]?.*) return ;; esac
  local arch home bin
  case "$(uname -m)" in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) die "no Node 24 package for $(uname -m)." ;; esac
  home="$cache/node-$node_version-$arch"
  bin="$home/node_modules/node-linux-$arch/bin"
  if [ ! -x "$bin/node" ]; then
    say "Fetching Node $node_version (once, 190 MB; this machine has $(node --version))"
    rm -rf "$home.new" && mkdir -p "$home.new"
    npm install --prefix "$home.new" --no-save --no-audit --no-fund --loglevel=error "node-linux-$arch@$node_version" >&2 ||
      die "Node $node_version could not be fetched from the npm registry. Check the network and npm's settings, then run this again."
    rm -rf "$home" && mv "$home.new" "$home"
  fi
  export PATH="$bin:$PATH"
}

# system_packages PACKAGE=reason …
system_packages() {
  local missing=() each
  for each in "$@"; do
    dpkg-query -W -f='${Status}' "${each%%=*}" 2>/dev/null | grep -q 'ok installed' || missing+=("$each")
  done
  [ ${#missing[@]} = 0 ] && return
  say "Installing system packages (as root):"
  for each in "${missing[@]}"; do printf '     %-14s %s\n' "${each%%=*}" "${each#*=}" >&2; done
  local names=("${missing[@]%%=*}") log="$cache/apt.log"
  mkdir -p "$cache"
  # The lists of a fresh machine are empty or old; asking again costs two seconds and only when something is missing.
  as_root apt-get update >"$log" 2>&1 || die "apt-get update failed; see $log."
  case " ${names[*]} " in *" postgresql "*) no_main_cluster on ;; esac
  local failed=0
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${names[@]}" >>"$log" 2>&1 || failed=1
  no_main_cluster off
  [ $failed = 0 ] || die "apt-get install ${names[*]} failed; see $log. Install them by hand, then run this again."
}

# Debian's package makes and starts a server of its own while it is installed; the tests want its programs alone.
no_main_cluster() {
  local file=/etc/postgresql-common/createcluster.d/holdfast-tests.conf
  if [ "$1" = off ]; then
    [ ! -f "$file" ] || as_root rm -f "$file"
    return
  fi
  as_root mkdir -p "${file%/*}"
  echo 'create_main_cluster = off' | as_root tee "$file" >/dev/null
}

engine_packages=(
  "crun=starts the sandboxes"
  "mmdebstrap=builds the sandboxes' base image"
  "nftables=keeps sandboxes off every network but theirs"
  "iproute2=makes their network namespaces"
  "e2fsprogs=makes the file systems that limit what a sandbox can write"
  "util-linux=unshare and nsenter, for the engine's own namespaces"
)

node_packages() {
  local stamp="$root/node_modules/.holdfast-lock"
  cmp -s "$root/package-lock.json" "$stamp" && return
  say "Installing npm packages"
  (cd "$root" && npm ci --no-audit --no-fund --loglevel=error >&2) ||
    die "npm ci failed; its words are above."
  cp "$root/package-lock.json" "$stamp"
}

build_page() {
  local stamp="$root/packages/web/dist/.stamp" now
  now=$(cd "$root" && find packages/web packages/protocol/src packages/std/src package-lock.json \
    -path packages/web/dist -prune -o -path '*/node_modules' -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ] && return
  say "Building the page"
  (cd "$root" && npx vite build packages/web --logLevel warn >&2) || die "the page could not be built; the words above say why."
  printf '%s' "$now" >"$stamp"
}
