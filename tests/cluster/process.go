package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// recorded is a process as the cluster remembers it: its id and when it started, so that an id which the
// kernel has since given to another process is never signalled.
type recorded struct {
	name    string
	pid     int
	started string
}

func recordPath(name string) string { return state("pid", name) }

// start runs a program in the cluster's namespace, detached, with its output in its log.
func start(name string, arguments ...string) error {
	output, err := os.Create(state("log", name+".log"))
	if err != nil {
		return err
	}
	defer output.Close()
	full := inNamespace(arguments...)
	process := exec.Command(full[0], full[1:]...)
	process.Stdout, process.Stderr = output, output
	process.Dir = "/"
	process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := process.Start(); err != nil {
		return err
	}
	pid := process.Process.Pid
	record := fmt.Sprintf("%d %s\n", pid, startTime(pid))
	return os.WriteFile(recordPath(name), []byte(record), 0o644)
}

func readRecord(name string) (recorded, bool) {
	text, err := os.ReadFile(recordPath(name))
	if err != nil {
		return recorded{}, false
	}
	fields := strings.Fields(string(text))
	if len(fields) != 2 {
		return recorded{}, false
	}
	pid, err := strconv.Atoi(fields[0])
	return recorded{name, pid, fields[1]}, err == nil
}

// alive says whether the recorded process, and not a later one with its id, still runs.
func (r recorded) alive() bool { return r.started != "" && startTime(r.pid) == r.started }

// stop asks the process to end, waits, and ends it by force when it does not.
func (r recorded) stop(patience time.Duration) {
	if r.alive() {
		_ = syscall.Kill(r.pid, syscall.SIGTERM)
		if !waitUntil(patience, func() bool { return !r.alive() }) {
			_ = syscall.Kill(r.pid, syscall.SIGKILL)
			waitUntil(patience, func() bool { return !r.alive() })
		}
	}
	_ = os.Remove(recordPath(r.name))
}

// startTime is the 22nd field of the process's stat line: its start in ticks since boot. It is empty
// when there is no such process, or only its unreaped remains.
func startTime(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field is the program's name in parentheses and may hold spaces.
	_, rest, found := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// descendants lists the processes whose parent is pid.
func descendants(pid int) []int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var found []int
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// waitUntil polls a condition until it holds or the time is over.
func waitUntil(limit time.Duration, holds func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		if holds() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// quietly runs a command and gives its output only inside the error, when it fails.
func quietly(arguments ...string) (string, error) {
	output, err := exec.Command(arguments[0], arguments[1:]...).CombinedOutput()
	text := strings.TrimSpace(string(output))
	if err != nil {
		return text, fmt.Errorf("%s: %w: %s", strings.Join(arguments, " "), err, text)
	}
	return text, nil
}
