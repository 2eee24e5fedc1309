package tap

import (
	"io"

	"github.com/songgao/water"
)

// openWater makes a plain TAP with a name of the system's choice. It is the
// one place where water is used; all of it that matters here is portable.
//
// It gives no name to water: on Linux water would silently take over an
// interface that has it, and clear the persistence its owner gave it.
//
// On Linux the io.ReadWriteCloser is water's own *os.File. The file is closed
// when it is garbage, so it is to be kept, not what is inside.
func openWater() (rwc io.ReadWriteCloser, name string, err error) {
	iface, err := water.New(water.Config{DeviceType: water.TAP})
	if err != nil {
		return nil, "", err
	}
	return iface.ReadWriteCloser, iface.Name(), nil
}
