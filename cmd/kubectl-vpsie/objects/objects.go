// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package objects is a set of Kubernetes objects in memory that can be listed as if an API server held them. It turns what files say
// into what package state reads, and never changes an object.
package objects

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// Set is objects by their Go type, each in the order in which it was added.
type Set struct {
	scheme *runtime.Scheme
	byType map[reflect.Type][]client.Object
}

var _ client.Reader = (*Set)(nil)

// NewScheme returns Kubernetes' kinds and ours.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering kinds: %w", err)
	}
	return scheme, nil
}

// New returns an empty set for kinds of the scheme.
func New(scheme *runtime.Scheme) *Set {
	return &Set{scheme: scheme, byType: map[reflect.Type][]client.Object{}}
}

// Add adds objects.
func (s *Set) Add(objects ...client.Object) {
	for _, object := range objects {
		key := reflect.TypeOf(object)
		s.byType[key] = append(s.byType[key], object)
	}
}

// Of returns the objects of one kind. The caller must not change the list.
func Of[T client.Object](s *Set) []T {
	var typed []T
	for _, object := range s.byType[reflect.TypeFor[T]()] {
		if t, ok := object.(T); ok {
			typed = append(typed, t)
		}
	}
	return typed
}

// List fills list with the objects of its kind. It knows no options: what reads for a picture reads everything.
func (s *Set) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	kind, err := apiutil.GVKForObject(list, s.scheme)
	if err != nil {
		return err
	}
	kind.Kind = kind.Kind[:len(kind.Kind)-len("List")]
	sample, err := s.scheme.New(kind)
	if err != nil {
		return err
	}
	found := s.byType[reflect.TypeOf(sample)]
	items := make([]runtime.Object, len(found))
	for i, object := range found {
		items[i] = object
	}
	return meta.SetList(list, items)
}

// Get copies the object of that name into object.
func (s *Set) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	for _, found := range s.byType[reflect.TypeOf(object)] {
		if client.ObjectKeyFromObject(found) == key {
			reflect.ValueOf(object).Elem().Set(reflect.ValueOf(found).Elem())
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: fmt.Sprintf("%T", object)}, key.String())
}
