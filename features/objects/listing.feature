Feature: Listing objects

  Rule: A listing has every key once, in the order of their bytes

    Scenario: All keys
      Given a bucket
      And these objects
        | b |
        | a |
        | c |
      When I list the objects
      Then the keys are "a, b, c"
      And the listing ends
      And its key count is "3"

    Scenario: The order is that of the keys' bytes
      Given a bucket
      And these objects
        | "a"    |
        | "B"    |
        | "a/b"  |
        | "a-b"  |
        | "a b"  |
        | "ä"    |
        | "😀"   |
        | "日"   |
        | "Z"    |
        | "a.b"  |
      When I list the objects
      Then the keys are these, in this order
        | "B"    |
        | "Z"    |
        | "a"    |
        | "a b"  |
        | "a-b"  |
        | "a.b"  |
        | "a/b"  |
        | "ä"    |
        | "日"   |
        | "😀"   |

    Scenario: Every entry says what its object is
      Given a bucket
      And these objects
        | a |
        | b |
      When I list the objects
      Then every listed object has a size, a time and an ETag
      And no listed object names its owner

    Scenario: The owner comes along if it is asked for
      Given a bucket
      And these objects
        | a |
      When I list the objects with
        | fetch owner | true |
      Then every listed object names its owner

    Scenario: What was deleted is not listed
      Given a bucket
      And these objects
        | a |
        | b |
      When I delete "a"
      And I list the objects
      Then the keys are "b"

  Rule: A prefix narrows, a delimiter rolls up

    Scenario Outline: prefix "<prefix>" and delimiter "<delimiter>"
      Given a bucket
      And these objects
        | a/1   |
        | a/2   |
        | a/b/3 |
        | ab    |
        | b//x  |
        | b/y   |
        | c     |
      When I list the objects with
        | prefix    | <prefix>    |
        | delimiter | <delimiter> |
      Then the keys are "<keys>"
      And the common prefixes are "<prefixes>"

      Examples:
        | prefix | delimiter | keys                                | prefixes   |
        |        |           | a/1, a/2, a/b/3, ab, b//x, b/y, c   |            |
        |        | /         | ab, c                               | a/, b/     |
        | a      |           | a/1, a/2, a/b/3, ab                 |            |
        | a      | /         | ab                                  | a/         |
        | a/     | /         | a/1, a/2                            | a/b/       |
        | a/     |           | a/1, a/2, a/b/3                     |            |
        | b/     | /         | b/y                                 | b//        |
        | b//    | /         | b//x                                |            |
        | z      | /         |                                     |            |
        |        | b         | a/1, a/2, c                         | a/b, ab, b |
        |        | /b        | a/1, a/2, ab, b//x, b/y, c          | a/b        |
        | a/1    | /         | a/1                                 |            |
        |        | /y        | a/1, a/2, a/b/3, ab, b//x, c        | b/y        |

    Scenario: Common prefixes count as entries
      Given a bucket
      And these objects
        | a/1 |
        | a/2 |
        | b   |
      When I list the objects with
        | delimiter | / |
      Then its key count is "2"

  Rule: Pages are parts of one listing: nothing twice, nothing left out

    Scenario Outline: Pages of <size>
      Given a bucket
      And these objects
        | a |
        | b |
        | c |
        | d |
        | e |
      When I list the objects page by page with
        | max keys | <size> |
      Then all pages together are "a, b, c, d, e"

      Examples:
        | size |
        | 1    |
        | 2    |
        | 3    |
        | 4    |
        | 5    |
        | 6    |
        | 1000 |

    Scenario: Each page is as long as it may be
      Given a bucket
      And these objects
        | a |
        | b |
        | c |
        | d |
        | e |
      When I list the objects page by page with
        | max keys | 2 |
      Then the pages are
        | a, b |
        | c, d |
        | e    |

    Scenario Outline: Rolled-up prefixes are never repeated, in pages of <size>
      Given a bucket
      And these objects
        | a/1 |
        | a/2 |
        | a/3 |
        | b   |
        | c/1 |
        | c/2 |
        | d   |
      When I list the objects page by page with
        | max keys  | <size> |
        | delimiter | /      |
      Then all pages together are "a/, b, c/, d"

      Examples:
        | size |
        | 1    |
        | 2    |
        | 3    |

    Scenario: Pages under a prefix
      Given a bucket
      And these objects
        | a   |
        | b/1 |
        | b/2 |
        | b/3 |
        | c   |
      When I list the objects page by page with
        | max keys | 2  |
        | prefix   | b/ |
      Then the pages are
        | b/1, b/2 |
        | b/3      |

    Scenario: A page of nothing ends the listing
      Given a bucket
      And these objects
        | a |
      When I list the objects with
        | max keys | 0 |
      Then the keys are ""
      And the listing ends

    Scenario: A page has a thousand entries at most
      Given a bucket
      And 1001 objects
      When I list the objects with
        | max keys | 5000 |
      Then its key count is "1000"
      And the listing goes on
      When I list the objects page by page with
        | max keys | 5000 |
      Then all pages together have 1001 entries, none of them twice

    Scenario: A page cannot have fewer than no entries
      Given a bucket
      When I list the objects with
        | max keys | -1 |
      Then it is refused with InvalidArgument

    Scenario: A token that nobody gave is refused
      Given a bucket
      When I list the objects with
        | continuation token | made-up-token |
      Then it is refused with InvalidArgument

  Rule: A listing can begin anywhere

    Scenario Outline: After "<after>"
      Given a bucket
      And these objects
        | a |
        | b |
        | c |
      When I list the objects with
        | start after | <after> |
      Then the keys are "<keys>"

      Examples:
        | after | keys    |
        | a     | b, c    |
        | aa    | b, c    |
        | c     |         |
        | 0     | a, b, c |

    Scenario: A token wins over a beginning
      Given a bucket
      And these objects
        | a |
        | b |
        | c |
      When I list the objects page by page with
        | max keys    | 1 |
        | start after | a |
      Then the pages are
        | b |
        | c |
