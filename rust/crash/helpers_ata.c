// SPDX-License-Identifier: GPL-2.0
/*
 * As helpers_scsi.c, for the SATA disks of an AHCI controller: what libata adds to SCSI. Nothing of
 * libata's is called; the port is seen as its interrupt's handler sees it. All that is changed here
 * belongs to a port's lock, which is irq-safe and which nobody holds: crash_helper_ata_is_locked().
 */
#include "bindings_helper.h"
#include <linux/libata.h>
#include <scsi/scsi_device.h>
#include <scsi/scsi_host.h>

static struct ata_port *port_of(struct request_queue *q)
{
	struct scsi_device *sdev = q->queuedata;

	return ata_shost_to_port(sdev->host);
}

/* One ATA disk on the port's own link: no port multiplier, whose links wait for each other. */
bool crash_helper_ata_is_plain(struct request_queue *q)
{
	const struct ata_port *ap = port_of(q);
	const struct ata_device *dev = &ap->link.device[0];

	return dev->sdev == q->queuedata && dev->class == ATA_DEV_ATA && ap->link.ap == ap &&
	       !ap->slave_link && !ap->nr_pmp_links && ap->ops->qc_defer;
}

/* Whether an interrupt's handler that is called with this completes the disk's commands. */
bool crash_helper_ata_is_handled_by(struct request_queue *q, const void *dev_id)
{
	const struct ata_port *ap = port_of(q);

	return dev_id == ap || dev_id == ap->host;
}

/* Whether the port is the error handler's. */
bool crash_helper_ata_in_recovery(struct request_queue *q)
{
	return port_of(q)->pflags & (ATA_PFLAG_EH_PENDING | ATA_PFLAG_EH_IN_PROGRESS |
				     ATA_PFLAG_FROZEN | ATA_PFLAG_RESETTING);
}

/* Whether the port or its disk is asleep, coming or going. */
bool crash_helper_ata_is_away(struct request_queue *q)
{
	const struct ata_port *ap = port_of(q);

	return (ap->pflags & (ATA_PFLAG_LOADING | ATA_PFLAG_INITIALIZING | ATA_PFLAG_UNLOADING |
			      ATA_PFLAG_UNLOADED | ATA_PFLAG_SUSPENDED | ATA_PFLAG_PM_PENDING)) ||
	       (ap->link.device[0].flags & ATA_DFLAG_SLEEPING);
}

/*
 * Whether the port would send a command now. What is not queued (a flush; all, on a disk without
 * native command queuing) goes alone: libata turns others down meanwhile, and a flush that comes
 * while queued ones are in flight it takes and puts aside for a worker.
 */
bool crash_helper_ata_has_room(struct request_queue *q, bool flush)
{
	struct ata_port *ap = port_of(q);
	const struct ata_link *link = &ap->link;

	if (link->deferred_qc || ata_tag_valid(link->active_tag))
		return false;
	return !link->sactive || (!flush && ata_ncq_enabled(&ap->link.device[0]));
}

/* Whether the port has sent a command that was not found to be complete. */
bool crash_helper_ata_has_commands(struct request_queue *q)
{
	return port_of(q)->qc_active;
}

/* Whether this CPU, or one that was stopped by an NMI, holds the lock of the disk's port. */
bool crash_helper_ata_is_locked(struct request_queue *q)
{
	return spin_is_locked(port_of(q)->lock);
}

/*
 * One handler serves all ports of a controller, or one each; what it finds complete ends as
 * crash_helper_tags_set_aside() says, whichever disk it belongs to. A flush that libata has put
 * aside is forgotten: its worker does not run any more, and the port would take no other command.
 * Nor is the activity blinked.
 */
void crash_helper_ata_prepare_at_panic(struct request_queue *q, rq_end_io_fn *lane, bool runs_steps)
{
	const struct ata_host *host = port_of(q)->host;
	unsigned int n;

	for (n = 0; n < host->n_ports; n++) {
		struct ata_port *ap = host->ports[n];

		if (!ap || !ap->scsi_host)
			continue;
		crash_helper_tags_set_aside(&ap->scsi_host->tag_set, lane, true, runs_steps);
		ap->link.flags &= ~ATA_LFLAG_SW_ACTIVITY;
		ap->link.deferred_qc = NULL;
	}
}
