# Makes a network with two hosts, and tells where: this shell's own is 9.9.9.8, and at 9.9.9.9 another serves one page.
# Both addresses are public ones, and neither is asked anywhere else. Run by `unshare --net`, as root; it all ends with
# the input. $1 is the program that serves.
set -eu
exec 3<&0
ip link set lo up
ip link add near type veth peer name far
ip address add 9.9.9.8/24 dev near
ip link set near up
unshare --net python3 "$1" <&3 3<&- >/dev/null &
there=$!
while [ "$(readlink /proc/$there/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link set far netns "$there"
nsenter --target "$there" --net sh -c 'ip address add 9.9.9.9/24 dev far && ip link set far up'
until python3 -c 'import socket; socket.create_connection(("9.9.9.9", 80), 1)' 2>/dev/null; do sleep 0.05; done
echo "$$"
wait
