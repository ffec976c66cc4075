package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// stopLimit is how long each process gets to end by itself; nothing it could save outlives it.
const stopLimit = 2 * time.Second

// down stops the cluster and removes all that it made: processes, pods, mounts, namespace, files.
func down() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the cluster belongs to root: run this as root")
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := clean(); err != nil {
		return err
	}
	_ = os.Remove(stateFolder() + ".lock")
	say("the cluster is gone; its programs stay in %s", cacheFolder())
	return nil
}

// clean removes whatever is left of a cluster, running or not.
func clean() error {
	for _, name := range processNames {
		if record, found := readRecord(name); found {
			record.stop(stopLimit)
		}
	}
	stopPods()
	if err := unmountAll(); err != nil {
		return err
	}
	if _, err := os.Stat(namespacePath); err == nil {
		if _, err := quietly("ip", "netns", "delete", namespaceName); err != nil {
			return err
		}
	}
	removeControlGroups()
	for _, folder := range []string{stateFolder(), runtimeFolder} {
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	return nil
}

// stopPods ends the shims of this cluster's containerd, which outlive it, and what they run. A shim names
// its containerd's socket among its arguments, so none but this cluster's is met.
func stopPods() {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var pids []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		arguments := strings.Split(string(text), "\x00")
		if !strings.Contains(arguments[0], "containerd-shim") || !slices.Contains(arguments, containerdSocket()) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(file, "/proc/%d/cmdline", &pid); err == nil {
			pids = append(append(pids, descendants(pid)...), pid)
		}
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	waitUntil(stopLimit, func() bool {
		return !slices.ContainsFunc(pids, func(pid int) bool { return startTime(pid) != "" })
	})
}

// unmountAll unmounts what lies under the cluster's folders, the deepest first.
func unmountAll() error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var mounts []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		for _, folder := range []string{stateFolder(), runtimeFolder} {
			if strings.HasPrefix(fields[4], folder+"/") {
				mounts = append(mounts, fields[4])
			}
		}
	}
	slices.SortFunc(mounts, func(a, b string) int { return strings.Compare(b, a) })
	for _, mount := range mounts {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", mount, err)
		}
	}
	return nil
}

// removeControlGroups removes the pods' control groups. The kernel refuses those that hold a process, so
// only what the cluster left empty goes.
func removeControlGroups() {
	roots, _ := filepath.Glob("/sys/fs/cgroup/kubepods")
	perController, _ := filepath.Glob("/sys/fs/cgroup/*/kubepods")
	for _, root := range append(roots, perController...) {
		var folders []string
		_ = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				folders = append(folders, path)
			}
			return nil
		})
		slices.Reverse(folders)
		for _, folder := range folders {
			_ = syscall.Rmdir(folder)
		}
	}
}
