# shellcheck shell=sh
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# First process of the disk tests' guest: devices, then the tests, then power off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C PYTHONPATH=/usr/lib/dualroot PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/lvm /run/udev
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
/usr/lib/systemd/systemd-udevd --daemon --resolve-names=never
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add
modprobe -q -a dm_mod ext4 xfs vfat
udevadm settle --timeout=60
python3 /disk-tests/main.py >/dev/console 2>&1
echo "DISK-TESTS END $?" >/dev/console
sleep 1
echo o >/proc/sysrq-trigger
sleep 30
