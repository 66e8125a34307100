// franz-go: one promise for each record, at most `window` records buffered.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	recordsPerLook = 100
	leadNS         = 100_000_000
	monotonic      = 1
)

type bench struct {
	job          map[string]string
	client       *kgo.Client
	keys, values [][]byte
	next         int
	acknowledged atomic.Int64
	failure      atomic.Pointer[error]
}

func main() {
	b := &bench{job: map[string]string{}}
	for _, word := range os.Args[1:] {
		name, value, _ := strings.Cut(word, "=")
		b.job[name] = value
	}
	b.values = pieces(b.job["values_file"], b.number("value_size"))
	if b.number("keys") > 0 {
		b.keys = pieces(b.job["keys_file"], 16)
	}
	b.connect()
	defer b.client.Close()
	figures := b.throughput
	if b.job["kind"] == "latency" {
		figures = b.paced
	}
	text, err := json.Marshal(figures())
	check(err)
	fmt.Println(string(text))
}

func (b *bench) connect() {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "lz4": kgo.Lz4Compression(),
		"snappy": kgo.SnappyCompression(), "zstd": kgo.ZstdCompression(),
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(b.job["bootstrap_servers"], ",")...),
		kgo.DefaultProduceTopic(b.job["topic"]),
		kgo.ProducerLinger(time.Duration(b.number("linger_ms")) * time.Millisecond),
		kgo.ProducerBatchCompression(codecs[b.job["compression"]]),
		kgo.MaxBufferedRecords(b.number("window")),
	}
	if b.job["batch_size"] != "" {
		options = append(options, kgo.ProducerBatchMaxBytes(int32(b.number("batch_size"))))
	}
	client, err := kgo.NewClient(options...)
	check(err)
	b.client = client
	check(client.Ping(context.Background()))
}

func (b *bench) throughput() map[string]any {
	warm := b.pump(b.seconds("warm_up"))
	wall, cpu := time.Now(), cpuSeconds()
	records := b.pump(b.seconds("seconds"))
	return map[string]any{
		"records": records, "cpu_seconds": cpuSeconds() - cpu,
		"seconds": time.Since(wall).Seconds(), "sent": warm + records,
	}
}

func (b *bench) pump(seconds float64) int64 {
	ctx := context.Background()
	b.acknowledged.Store(0)
	count := int64(0)
	end := time.Now().Add(time.Duration(seconds * 1e9))
	for time.Now().Before(end) {
		for range recordsPerLook {
			b.client.Produce(ctx, b.record(), b.note)
		}
		count += recordsPerLook
	}
	b.finish(count)
	return count
}

func (b *bench) paced() map[string]any {
	rate, tick := int64(b.number("rate")), int64(b.number("tick_ns"))
	first := int64(float64(rate) * b.seconds("warm_up"))
	total := first + int64(float64(rate)*b.seconds("seconds"))
	start := now() + leadNS
	ticks := (total-1)*1_000_000_000/(rate*tick) + 1
	metronome := exec.Command(b.job["python"], "-I", "-S", b.job["metronome"],
		strconv.FormatInt(start, 10), strconv.FormatInt(tick, 10), strconv.FormatInt(ticks, 10))
	metronome.Stderr = os.Stderr
	beats, err := metronome.StdoutPipe()
	check(err)
	check(metronome.Start())
	latencies := make([]float64, total)
	var calls []float64
	var wall time.Time
	var cpu float64
	seen := make([]byte, 65536)
	intended := func(index int64) int64 { return start + index*1_000_000_000/(rate*tick)*tick }
	for index := int64(0); index < total; {
		_, err := beats.Read(seen)
		check(err)
		at := now()
		due := min(total, (((at-start)/tick+1)*rate*tick+999_999_999)/1_000_000_000)
		if index >= first && index < due {
			calls = append(calls, float64(at-intended(index))/1e6)
		}
		for ; index < due; index++ {
			if index == first {
				wall, cpu = time.Now(), cpuSeconds()
			}
			place, from := index, intended(index)
			b.client.Produce(context.Background(), b.record(), func(r *kgo.Record, err error) {
				latencies[place] = float64(now()-from) / 1e6
				b.note(r, err)
			})
		}
	}
	b.finish(total)
	used, passed := cpuSeconds()-cpu, time.Since(wall).Seconds()
	check(metronome.Wait())
	counted := latencies[first:]
	sort.Float64s(counted)
	sort.Float64s(calls)
	return map[string]any{
		"records": len(counted), "seconds": passed, "cpu_seconds": used, "sent": total,
		"latency_ms": percentiles(counted), "call_delay_ms": calls[len(calls)/2],
	}
}

func (b *bench) record() *kgo.Record {
	number := b.next
	b.next++
	record := &kgo.Record{Value: b.values[number%len(b.values)]}
	if b.keys != nil {
		record.Key = b.keys[number%len(b.keys)]
	} else if b.job["keys"] == "0" {
		record.Key = []byte(fmt.Sprintf("key-%012d", number))
	}
	return record
}

func (b *bench) note(_ *kgo.Record, err error) {
	if err != nil {
		b.failure.CompareAndSwap(nil, &err)
	}
	b.acknowledged.Add(1)
}

func (b *bench) finish(count int64) {
	check(b.client.Flush(context.Background()))
	if err := b.failure.Load(); err != nil {
		check(*err)
	}
	if b.acknowledged.Load() != count {
		check(fmt.Errorf("%d of %d records were acknowledged", b.acknowledged.Load(), count))
	}
}

func (b *bench) number(name string) int {
	value, err := strconv.Atoi(b.job[name])
	check(err)
	return value
}

func (b *bench) seconds(name string) float64 {
	value, err := strconv.ParseFloat(b.job[name], 64)
	check(err)
	return value
}

func pieces(path string, size int) [][]byte {
	all, err := os.ReadFile(path)
	check(err)
	var cut [][]byte
	for at := 0; at+size <= len(all); at += size {
		cut = append(cut, all[at:at+size])
	}
	return cut
}

// now is the system's monotonic clock, which the metronome counts by; the time package hides it.
func now() int64 {
	var ts syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, monotonic, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func percentiles(ascending []float64) map[string]float64 {
	found := map[string]float64{}
	for name, percent := range map[string]float64{
		"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "max": 100,
	} {
		rank := max(1, int(math.Ceil(float64(len(ascending))*percent/100)))
		found[name] = ascending[rank-1]
	}
	return found
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
