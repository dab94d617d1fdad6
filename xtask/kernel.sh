#!/bin/sh
# Runs crates/gateway/tests/box_walls.rs, and `sallyport doctor`, as root of a virtual machine with Debian's own kernel:
# control groups of version 2, which containers and this project's machines seldom give, and a kernel of another age.
# `cargo xtask kernel` calls it. Needs Debian's qemu-system-x86 and busybox-static; takes two minutes,
# for it does not count on KVM.
set -eu
here=$(pwd)
sallyport=$here/target/debug/sallyport
cargo build -q -p gateway
walls=$(cargo test -p gateway --test box_walls --no-run 2>&1 | sed -n 's/.*(\(.*\))$/\1/p' | tail -1)
work=$here/target/kernel
rm -rf "$work/root"
mkdir -p "$work/root/bin" "$work/root$here/target/debug"
cd "$work"
if ! ls deb/boot/vmlinuz-* >/dev/null 2>&1; then
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -1)
    apt-get download -q "$package"
    dpkg -x linux-image-*.deb deb
fi
cp "$(command -v busybox)" root/bin/busybox
for tool in sh cat mv mkdir echo head tail mount cp ls grep poweroff switch_root; do ln -s busybox "root/bin/$tool"; done
strip -o root/walls "$here/$walls"
strip -o "root$sallyport" "$sallyport"
for library in $(ldd "$here/$walls" "$sallyport" | grep -o '/[^ :]*\.so[^ :]*' | sort -u); do
    mkdir -p "root$(dirname "$library")"
    cp -L "$library" "root$library"
done
# What the kernel unpacked is no mount that could be left; a file system in memory is.
cat >root/init <<'END'
#!/bin/sh
mkdir -p /proc /sys /dev /new /etc /usr
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
mount -t cgroup2 groups /sys/fs/cgroup
mount -t tmpfs new /new
for name in /*; do
    case $name in /new | /proc | /sys | /dev) ;; *) cp -a "$name" /new/ ;; esac
done
mkdir /new/proc /new/sys /new/dev /new/tmp
for name in proc sys dev; do mount --move /$name /new/$name; done
exec switch_root /new /bin/sh /inside
END
cat >root/inside <<END
export HOME=/tmp
cd /tmp
/walls --test-threads 1
printf 'listen: "127.0.0.1:0"\ndata: /tmp/state\nmcpServers: { it: { command: /bin/cat } }\n' >it.yaml
$sallyport doctor --config it.yaml | grep sandbox
ls /sys/fs/cgroup | grep sallyport-box
poweroff -f
END
chmod +x root/init
(cd root && find . | cpio -o -H newc 2>/dev/null | gzip -1 >../root.img)
timeout 600 qemu-system-x86_64 -accel tcg -cpu max -m 1500M -display none -serial stdio -no-reboot \
    -kernel deb/boot/vmlinuz-* -initrd root.img -append "console=ttyS0 quiet panic=1" </dev/null | tee said
grep -q 'test result: ok' said
