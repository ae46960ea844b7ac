#!/bin/sh
# Finish the guest's root file system, $1: its user, and the initial file system without udev.
# MASKED and ENABLED are the units of recipe.toml.
set -eu
chroot "$1" useradd --create-home --shell /bin/sh --groups docker deploy
chroot "$1" usermod --password '*' deploy
echo rig > "$1/etc/hostname"
: > "$1/etc/fstab"
rm -f "$1"/etc/ssh/ssh_host_*
printf '%s\n' virtio_pci virtio_blk virtio_net virtio_rng ext4 >> "$1/etc/initramfs-tools/modules"
chroot "$1" update-initramfs -u
chroot "$1" systemctl set-default multi-user.target
chroot "$1" systemctl mask $MASKED
chroot "$1" systemctl enable $ENABLED
