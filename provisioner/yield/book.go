// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package yield

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// ConfigMapName is where yields are kept, in the namespace that the controller runs in: one key for each offering.
const ConfigMapName = "vpsie-autoscaler-yields"

const reasonYieldsUnread = "YieldsUnread"

// Options of a Book. The zero value is right for production.
type Options struct {
	Clock      clock.PassiveClock
	Registerer prometheus.Registerer
}

// Book keeps what was learned. One goroutine writes it, any may read.
type Book struct {
	kube   client.Client
	direct client.Reader // asks the API server: a cache of ConfigMaps would watch all of them
	key    client.ObjectKey
	clock  clock.PassiveClock
	memory *prometheus.GaugeVec

	mu    sync.Mutex
	read  bool // what an earlier controller learned is known
	saved bool // the ConfigMap has all that is known
	known map[string]Yield
}

// New returns a Book that is kept in the namespace.
func New(kube client.Client, direct client.Reader, namespace string, o Options) *Book {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	return &Book{
		kube: kube, direct: direct, key: client.ObjectKey{Namespace: namespace, Name: ConfigMapName}, clock: o.Clock, saved: true, known: map[string]Yield{},
		memory: promauto.With(o.Registerer).NewGaugeVec(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_yield_memory_bytes",
			Help: "Memory that machines of an offering leave for pods, by the least that one of them has shown.",
		}, []string{"offering"}),
	}
}

// Correcting returns the cloud with its offerings corrected by what is known.
func (b *Book) Correcting(cloud cloudprovider.Provider) cloudprovider.Provider {
	return correcting{Provider: cloud, book: b}
}

type correcting struct {
	cloudprovider.Provider
	book *Book
}

// Offerings fails where what was learned cannot be read: without it, the machine that was too small last time would be bought again.
func (c correcting) Offerings(ctx context.Context) ([]scheduling.Offering, error) {
	offerings, err := c.Provider.Offerings(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.book.open(ctx); err != nil {
		return nil, cloudprovider.Errorf(cloudprovider.TryLater, reasonYieldsUnread, "correcting the offerings: %w", err)
	}
	return Correct(offerings, c.book.yields()), nil
}

func (b *Book) yields() map[string]Yield {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.known)
}

// open reads the ConfigMap, once.
func (b *Book) open(ctx context.Context) error {
	b.mu.Lock()
	read := b.read
	b.mu.Unlock()
	if read {
		return nil
	}
	stored, err := b.load(ctx)
	switch {
	case apierrors.IsForbidden(err):
		// A chart of before may not grant it. Nodes that exist still teach.
		log.FromContext(ctx).Info("may not read what was learned of offerings", "configMap", b.key.String(), "err", err.Error())
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("reading ConfigMap %q: %w", b.key, err)
	}
	var earlier map[string]Yield
	if stored != nil {
		earlier = parse(ctx, stored)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read = true
	for offering, y := range earlier {
		b.enter(offering, y)
	}
	return nil
}

// enter adds to what is known, and tells whether that changed it. b.mu is held.
func (b *Book) enter(offering string, y Yield) bool {
	merged := merge(b.known[offering], y)
	if merged == b.known[offering] {
		return false
	}
	b.known[offering] = merged
	b.memory.WithLabelValues(offering).Set(float64(merged.memoryForPods() * mebibyte))
	return true
}

// learn enters what a Node showed, and says whether the ConfigMap has to be written.
func (b *Book) learn(offering string, y Yield) (unsaved bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.enter(offering, y) {
		b.saved = false
	}
	return !b.saved
}

// save writes all that is known. What somebody else wrote meanwhile makes it fail, and it is tried again.
func (b *Book) save(ctx context.Context) error {
	known := b.yields()
	stored, err := b.load(ctx)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading ConfigMap %q: %w", b.key, err)
	}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: b.key.Namespace, Name: b.key.Name}}
	if err == nil {
		object = stored
	}
	if object.Data == nil {
		object.Data = map[string]string{}
	}
	for offering, y := range known {
		text, err := json.Marshal(y)
		if err != nil {
			return fmt.Errorf("writing down offering %q: %w", offering, err)
		}
		object.Data[offering] = string(text)
	}
	if err == nil {
		err = b.kube.Update(ctx, object)
	} else {
		err = b.kube.Create(ctx, object)
	}
	if err != nil {
		return fmt.Errorf("writing ConfigMap %q: %w", b.key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saved = maps.Equal(b.known, known)
	return nil
}

func (b *Book) load(ctx context.Context) (*corev1.ConfigMap, error) {
	stored := &corev1.ConfigMap{}
	if err := b.direct.Get(ctx, b.key, stored); err != nil {
		return nil, err
	}
	return stored, nil
}

// parse leaves out what a person may have spoiled: it is learned anew.
func parse(ctx context.Context, stored *corev1.ConfigMap) map[string]Yield {
	known := map[string]Yield{}
	for offering, text := range stored.Data {
		var y Yield
		err := json.Unmarshal([]byte(text), &y)
		if err != nil || y.MemoryMiB < leastMemoryMiB || y.ReservedMiB < 0 || y.ReservedMiB >= y.MemoryMiB || y.ReservedCPUMilli < 0 {
			log.FromContext(ctx).Info("left out what was kept of an offering", "configMap", client.ObjectKeyFromObject(stored).String(), "offering", offering)
			continue
		}
		known[offering] = y
	}
	return known
}
