#!/usr/bin/env bash
# Builds the images of Dockerfile where no container engine is, starts them and asks one question.
#
#   sudo scripts/build_images.sh [service] [calibration]      (default: service)
#
# Needs root, buildah and debootstrap. The Dockerfile is built as it is: the base image is a Debian
# with its own Python, tagged with the name that FROM uses. How this machine reaches its package
# index (pip's configuration, certificates) is mounted while building and is in no image.
#
#   DEBIAN=trixie   release of the base image; its Python must be 3.11 or newer
#   STORE=FOLDER    where base and images are kept and found again; default: a temporary folder
#                   that is removed at the end
#   STORAGE_DRIVER  default: vfs, which works everywhere; overlay is quicker where the kernel has it
set -euo pipefail
cd "$(dirname "$0")/.."

DEBIAN=${DEBIAN:-trixie}
mirror=http://deb.debian.org/debian
certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
targets=("${@:-service}")
[ "$(id -u)" = 0 ] || { echo "needs root: buildah and chroot mount file systems" >&2; exit 2; }
for tool in buildah debootstrap unshare python3; do
    command -v "$tool" > /dev/null || { echo "needs $tool: apt-get install $tool" >&2; exit 2; }
done

scratch=$(mktemp --directory)
store=${STORE:-$scratch}
mkdir -p "$store"
export BUILDAH_ISOLATION=chroot
images() {
    buildah --storage-driver "${STORAGE_DRIVER:-vfs}" --root "$store/images" \
        --runroot "$scratch/run" "$@"
}
tidy() {
    images rm --all > /dev/null 2>&1 || true
    rm -rf --one-file-system "$scratch"
}
trap tidy EXIT

# The base image: what FROM names, made from Debian's packages.
from=$(sed -n 's/^FROM \([^ ]*:[^ ]*\).*/\1/p' Dockerfile | sort -u)
base="$store/$DEBIAN"
if [ ! -e "$base.made" ]; then
    rm -rf --one-file-system "$base"
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
        "$DEBIAN" "$base" "$mirror" > "$scratch/debootstrap.log" \
        || { tail "$scratch/debootstrap.log" >&2; exit 1; }
    ln -sf /usr/bin/python3 "$base/usr/local/bin/python"
    rm -rf "$base"/var/cache/apt/* "$base"/var/lib/apt/lists/*
    touch "$base.made"
fi
made=$(images from scratch)
images add --quiet "$made" "$base" / > /dev/null
images config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$made"
images commit --quiet --format docker --rm "$made" "$from" > /dev/null

# What pip is told here, as one file; folders it names are mounted beside it.
python3 - > "$scratch/pip.conf" 2> "$scratch/folders" <<'PYTHON'
import ast, pathlib, subprocess, sys
told = subprocess.run(["python3", "-m", "pip", "config", "list"], capture_output=True, text=True)
options = dict(line.split(".", 1)[1].split("=", 1) for line in told.stdout.splitlines())
print("[global]")
for name, value in options.items():
    if name != "cert":
        print(name, "=", ast.literal_eval(value))
        # An index in a folder, `<folder>/simple`, points at files beside it.
        paths = (
            part.removeprefix("file://").removesuffix("/simple")
            for part in ast.literal_eval(value).split()
        )
        print(*(p for p in paths if p[0] == "/" and pathlib.Path(p).is_dir()), file=sys.stderr)
PYTHON
mounts=(--volume "$scratch/pip.conf:/etc/pip.conf:ro")
for folder in $(sort -u "$scratch/folders"); do mounts+=(--volume "$folder:$folder:ro"); done
[ -e "$certificates" ] && mounts+=(--volume "$certificates:/etc/ssl/certs/ca-certificates.crt:ro")

# Runs commands (standard input) as the image's user, with its environment and working directory,
# on its files mounted read-only, with a fresh writable home and /tmp, and without any network.
inside() {
    local container root
    container=$(images from "$1")
    root=$(images mount "$container")
    images inspect --type image --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$1" \
        | sed '/^$/d' > "$scratch/env"
    cat > "$scratch/commands"
    env -i ROOT="$root" SCRATCH="$scratch" PATH="$PATH" \
        AS="$(images inspect --type image --format '{{.OCIv1.Config.User}}' "$1")" \
        FOLDER="$(images inspect --type image --format '{{.OCIv1.Config.WorkingDir}}' "$1")" \
        unshare --mount --net --pid --fork bash -euo pipefail -c '
            mount --bind "$ROOT" "$ROOT"
            mount -o remount,ro,bind "$ROOT"
            mount -t proc proc "$ROOT/proc"
            mount --rbind /dev "$ROOT/dev"
            mount --rbind /sys "$ROOT/sys"
            mount -t tmpfs tmpfs "$ROOT/tmp"
            mount -t tmpfs -o uid=${AS%:*},gid=${AS#*:},mode=0750 tmpfs "$ROOT/var/lib/joulewise"
            python3 -c "
import fcntl, socket, struct
up = struct.pack(\"16sh14x\", b\"lo\", 1)
fcntl.ioctl(socket.socket(), 0x8914, up)  # SIOCSIFFLAGS: the loopback is up, nothing else
"
            readarray -t environment < "$SCRATCH/env"
            exec chroot --userspec="$AS" "$ROOT" env -i "${environment[@]}" \
                HOME=/var/lib/joulewise sh -euc "cd $FOLDER; $(cat "$SCRATCH/commands")"
        '
    images rm "$container" > /dev/null
}

for target in "${targets[@]}"; do
    image="joulewise:$target"
    images build --quiet --format docker --pull-never --layers "${mounts[@]}" \
        --target "$target" --tag "$image" . > "$scratch/build.log" 2>&1 \
        || { tail -40 "$scratch/build.log" >&2; exit 1; }
    echo "built   $image, $(images images --format '{{.Size}}' "$image")," \
        "of which the base has $(images images --format '{{.Size}}' "$from")"
    inside "$image" <<'COMMANDS'
[ "$(id -u)" != 0 ] || { echo "runs as root" >&2; exit 1; }
echo "user    $(id -u), not root"
[ -z "$(ls -A)" ] || { echo "$(pwd) is not empty" >&2; exit 1; }
echo "folder  $(pwd), empty"
for place in / "$(pwd)" /opt/joulewise /usr; do
    if touch "$place/x" 2> /dev/null; then echo "$place can be written" >&2; exit 1; fi
done
echo "root    read-only"
python -c "import api, psycopg; print('wheel  ', api.__file__)"
COMMANDS
done

if [[ " ${targets[*]} " == *" calibration "* ]]; then
    echo "asked   joulewise doctor; joulewise calibrate, one candidate"
    inside joulewise:calibration <<'COMMANDS'
python -c "import torch; print('torch  ', torch.__version__)"
joulewise doctor > /tmp/doctor
joulewise calibrate --profile quick --candidate bow-complement-nb > /tmp/calibration
tail -8 /tmp/calibration
COMMANDS
fi

if [[ " ${targets[*]} " == *" service "* ]]; then
    inside joulewise:service <<'COMMANDS'
for heavy in torch transformers codecarbon; do
    if python -c "import $heavy" 2> /dev/null; then echo "$heavy is in the image" >&2; exit 1; fi
done
echo "without torch, transformers, codecarbon"
joulewise serve > /tmp/log 2>&1 &
python - <<'PYTHON'
import json, time, urllib.error, urllib.request

here = "http://127.0.0.1:8000"
for _ in range(120):
    try:
        ready = json.load(urllib.request.urlopen(here + "/health/ready"))
        break
    except urllib.error.URLError:
        time.sleep(0.25)
else:
    raise SystemExit(open("/tmp/log").read())
print("health ", ready["status"], "catalog", ready["catalog_digest"][:12])
asked = "/recommend?task=sentiment&min_acc=0.85"
chosen = json.load(urllib.request.urlopen(here + asked))["chosen"]
energy = chosen["energy_j_per_1000"]
print("asked  ", asked)
print("answer ", chosen["candidate"], "on", chosen["device"], "with", round(energy["value"], 1),
      "J per 1,000 texts,", energy["basis"])
PYTHON
COMMANDS
fi
